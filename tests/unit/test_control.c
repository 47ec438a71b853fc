/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control room as a client sees it: real sockets on a real event loop, with a manager that answers by a script.
 * Replies are read with a JSON parser of their own, and compared with the interface's text where that says what to
 * expect, so that a field that is forgotten on one side shows.
 */
#include "suite.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "control/control.h"
#include "control/interface_text.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

enum { WAIT_MS = 5000, NOBODY = 65534 };

struct bench {
        char directory[64], path[96];
        sd_event *event;
        struct control *control;
        struct control_request last;
        unsigned requests, gone, drained;
        unsigned devices;  /* that ListDevices answers */
        bool heedless;     /* lists without asking whether the call is full */
        struct call *held; /* CancelSweep: until the test answers */
        unsigned connects;
};

struct list {
        unsigned sent;
};

static struct bench *bench_now;

static void list_on(struct bench *b, struct call *call, struct list *list) {
        while (list->sent < b->devices && (b->heedless || !call_is_full(call))) {
                static const struct identity disk = { .kind = TARGET_KIND_DISK, .users = "mounted at /srv\nswap" };
                struct device_record device = { .path = "/dev/x", .identity = &disk, .size_bytes = list->sent + 1 };
                snprintf(device.name, sizeof device.name, "device-%u", list->sent);
                list->sent++;
                bool last = list->sent == b->devices;
                if (last)
                        free(list);
                call_reply_device(call, &device, !last);
                if (last)
                        return;
        }
}

static void answer_list(struct bench *b, struct call *call) {
        if (b->devices == 0) {
                call_reply_end(call);
                return;
        }
        if (b->devices > 1 && !call_takes_more(call)) {
                call_fail_expected_more(call);
                return;
        }
        struct list *list = calloc(1, sizeof *list);
        call_set_data(call, list);
        list_on(b, call, list);
}

static void answer_finding(struct call *call, uint64_t id) {
        struct finding finding = { .id = id,
                .device = "disk-1",
                .sweep_id = 3,
                .place = { 4096, 512 },
                .fault = FAULT_BIT_FLIP,
                .state = FINDING_ACKNOWLEDGED,
                .text = "2 bits differ",
                .count = 2,
                .first_seen_us = 10,
                .last_seen_us = 20,
                .acknowledged_us = 30,
                .comment = "seen \xff\xc3\xa9",
                .sample = { 4096, 2, { 0xab, 0x01 }, { 0xaa, 0xff } } };
        detail_set(&finding.detail, "bits", "%d", 2);
        call_reply_finding_with_sample(call, &finding);
}

static void answer_map(struct call *call, uint64_t count) {
        struct region_record regions[] = { { { 0, 4096 }, { 10, 0, 300 }, 2 }, { { 4096, 512 }, { 0 }, 0 } };
        call_reply_regions(call, regions, MIN(count, ELEMENTS(regions)), false);
}

static void answer_sweep_or_error(struct call *call, uint64_t id) {
        struct reason reason;
        reason_set(&reason, "signature", "wipe it", "an ext4 file system");
        struct sweep_record sweep = { .id = id, .device = "disk-1", .bytes = { .total = UINT64_MAX } };
        sweep.latency[LATENCY_READ] = (struct latency_summary){ 6, 1, 2, 3, 4, 5 };
        if (id == 10)
                sweep.latency[LATENCY_READ].count = 0;
        switch (id) {
        case 1:
                call_fail_refused(call, "disk-1", &reason);
                break;
        case 2:
                call_fail_busy(call, "disk-1", "queued");
                break;
        case 3:
                call_fail_not_running(call, "disk-1");
                break;
        case 4:
                call_fail_invalid_config(call, "/etc/x", 12, "no");
                break;
        case 5:
                call_fail_ledger_unavailable(call, "disk full");
                break;
        case 6:
                call_fail_too_many(call, 9);
                break;
        case 7:
                call_fail_no_such_id(call, id);
                break;
        default:
                call_reply_sweep(call, &sweep, false);
        }
}

static void answer_rescue(struct call *call) {
        struct rescue_record rescue = { .id = 7,
                .device = "disk-1",
                .journal = "/var/lib/sweepd/undo/disk-1.undo",
                .place = { 8192, 4096 },
                .armed_us = 5,
                .units_lost = 1,
                .text = "originals" };
        call_reply_rescue(call, &rescue, false);
}

static void answer_export(struct call *call) {
        struct rescue_bytes bytes = { .offset_bytes = 8192, .base64 = (char[]){ "AAEC" } };
        if (call_takes_more(call))
                call_reply_rescue_bytes(call, &bytes, true);
        bytes = (struct rescue_bytes){ .offset_bytes = 12288, .base64 = (char[]){ "" }, .text = "can't be read" };
        call_reply_rescue_bytes(call, &bytes, false);
}

static void on_request(void *userdata, struct call *call, const struct control_request *request) {
        struct bench *b = userdata;
        static const struct worker_record worker = { .index = 1, .cpus = "3", .in_service = true };
        struct daemon_record daemon = {
                .version = "1", .pid = 7, .started_us = 5, .ledger = "good", .worker_count = 1, .workers = &worker
        };
        b->requests++;
        b->last = *request;
        if (request->method == METHOD_GET_DAEMON)
                call_reply_daemon(call, &daemon);
        else if (request->method == METHOD_LIST_DEVICES)
                answer_list(b, call);
        else if (request->method == METHOD_GET_FINDING)
                answer_finding(call, request->id);
        else if (request->method == METHOD_GET_SWEEP)
                answer_sweep_or_error(call, request->id);
        else if (request->method == METHOD_GET_MAP)
                answer_map(call, request->regions);
        else if (request->method == METHOD_LIST_RESCUES)
                answer_rescue(call);
        else if (request->method == METHOD_EXPORT_RESCUE)
                answer_export(call);
        else if (request->method == METHOD_START_SWEEP)
                call_reply_sweep_id(call, 5);
        else if (request->method == METHOD_CANCEL_SWEEP)
                b->held = call;
        else
                call_reply_empty(call);
}

static void on_drained(void *userdata, struct call *call) {
        struct bench *b = userdata;
        b->drained++;
        list_on(b, call, call_data(call));
}

static void on_gone(void *userdata, struct call *call) {
        struct bench *b = userdata;
        b->gone++;
        if (call == b->held)
                b->held = NULL;
        else
                free(call_data(call));
}

static struct control_options bench_options(struct bench *b, int listen_fd) {
        return (struct control_options){ .event = b->event,
                .socket_path = b->path,
                .listen_fd = listen_fd,
                .interface_text = interface_text_sweepd,
                .version = "1.2.3",
                .url = "https://example.org",
                .handlers = { on_request, on_drained, on_gone, b } };
}

static void bench_open(void) {
        struct bench *b = calloc(1, sizeof *b);
        bench_now = b;
        strcpy(b->directory, "/tmp/test_control.XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(b->directory));
        snprintf(b->path, sizeof b->path, "%s/control", b->directory);
        ck_assert_int_ge(sd_event_new(&b->event), 0);
        struct control_options options = bench_options(b, -1);
        ck_assert_int_eq(control_new(&b->control, &options), CONTROL_OK);
        ck_assert_int_eq(chmod(b->directory, 0755), 0); /* for tests that come as somebody else */
        ck_assert_int_eq(chmod(b->path, 0666), 0);
}

static void bench_close(void) {
        struct bench *b = bench_now;
        control_free(b->control);
        sd_event_unref(b->event);
        ck_assert_int_eq(rmdir(b->directory), 0); /* so the socket is gone, too */
        free(b);
}

/* Lets the daemon's side do all that it can do now. */
static void turn(struct bench *b) {
        while (sd_event_run(b->event, 0) > 0)
                ;
}

struct peer {
        struct bench *bench;
        int fd;
        char *bytes;
        size_t used, size;
        bool ended;
};

/* The daemon accepts so many at once and then rests for a moment: the tests that connect very often wait for it. */
static void keep_below_rate_limit(struct bench *b) {
        uint64_t until_us = clock_monotonic_us() + 120 * USEC_PER_MSEC;
        while (++b->connects % 90 == 0 && clock_monotonic_us() < until_us) {
                sd_event_run(b->event, 10 * USEC_PER_MSEC);
                b->connects--;
        }
}

/* Connected, and not yet accepted. */
static struct peer peer_knock(struct bench *b) {
        keep_below_rate_limit(b);
        struct peer p = { .bench = b, .fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0) };
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        strcpy(address.sun_path, b->path);
        ck_assert_int_eq(connect(p.fd, (struct sockaddr *)&address, sizeof address), 0);
        return p;
}

static struct peer peer_open(struct bench *b) {
        struct peer p = peer_knock(b);
        turn(b);
        return p;
}

/* The kernel notes who a peer is when it connects. */
static struct peer peer_open_as(struct bench *b, uid_t uid) {
        ck_assert_int_eq(seteuid(uid), 0);
        struct peer p = peer_open(b);
        ck_assert_int_eq(seteuid(0), 0);
        return p;
}

static void peer_close(struct peer *p) {
        close(p->fd);
        free(p->bytes);
        turn(p->bench);
}

/* False: the other side does not take it any more. */
static bool peer_send(struct peer *p, const char *bytes, size_t length) {
        while (length > 0) {
                ssize_t n = send(p->fd, bytes, length, MSG_NOSIGNAL);
                if (n < 0 && errno != EAGAIN)
                        return false;
                if (n > 0) {
                        bytes += n;
                        length -= (size_t)n;
                }
                turn(p->bench);
        }
        return true;
}

static void peer_call(struct peer *p, const char *message) {
        ck_assert(peer_send(p, message, strlen(message) + 1));
}

/* Takes up to `most` bytes that are there. */
static void peer_take(struct peer *p, size_t most) {
        if (p->size < p->used + most)
                p->bytes = realloc(p->bytes, p->size = 2 * (p->used + most));
        ssize_t n = recv(p->fd, p->bytes + p->used, most, 0);
        if (n > 0)
                p->used += (size_t)n;
        else if (n == 0 || errno != EAGAIN)
                p->ended = true;
}

/* The next message as text, to be freed; NULL at the end of the connection. */
static char *peer_next_text(struct peer *p) {
        uint64_t until_us = clock_monotonic_us() + WAIT_MS * USEC_PER_MSEC;
        for (;;) {
                turn(p->bench);
                char *end = p->used ? memchr(p->bytes, '\0', p->used) : NULL;
                if (end) {
                        size_t length = (size_t)(end - p->bytes) + 1;
                        char *text = memcpy(malloc(length), p->bytes, length);
                        p->used -= length;
                        memmove(p->bytes, end + 1, p->used);
                        return text;
                }
                if (p->ended)
                        return NULL;
                ck_assert_msg(clock_monotonic_us() < until_us, "no reply");
                peer_take(p, 65536);
        }
}

static json_t *peer_next(struct peer *p) {
        CLEANUP_FREE char *text = peer_next_text(p);
        json_t *reply = text ? json_loads(text, 0, NULL) : NULL;
        ck_assert_msg(!text || reply, "not JSON: %s", text);
        return reply;
}

static const char *string_in(const json_t *reply, const char *key) {
        const char *text = json_string_value(json_object_get(json_object_get(reply, "parameters"), key));
        return text ? text : "(none)";
}

static const char *error_of(const json_t *reply) {
        const char *error = json_string_value(json_object_get(reply, "error"));
        return error ? error : "(none)";
}

#define SERVICE_ERROR "org.varlink.service."

static void expect_text(struct peer *p, const char *call, const char *expected) {
        peer_call(p, call);
        CLEANUP_FREE char *text = peer_next_text(p);
        ck_assert_ptr_nonnull(text);
        ck_assert_str_eq(text, expected);
}

static void expect_invalid(struct peer *p, const char *parameter) {
        json_t *reply = peer_next(p);
        ck_assert_msg(reply, "the connection ended");
        ck_assert_str_eq(error_of(reply), SERVICE_ERROR "InvalidParameter");
        ck_assert_str_eq(string_in(reply, "parameter"), parameter);
        json_decref(reply);
}

static void expect_error(struct peer *p, const char *error) {
        json_t *reply = peer_next(p);
        ck_assert_msg(reply, "the connection ended");
        ck_assert_str_eq(error_of(reply), error);
        json_decref(reply);
}

static void expect_end(struct peer *p) {
        ck_assert_ptr_null(peer_next_text(p));
}

/* The daemon answers whoever comes next. */
static void expect_alive(struct bench *b) {
        struct peer p = peer_open(b);
        peer_call(&p, "{\"method\":\"org.varlink.service.GetInfo\"}");
        expect_error(&p, "(none)");
        peer_close(&p);
}

START_TEST(the_service_describes_itself) {
        struct peer p = peer_open(bench_now);
        expect_text(&p, "{\"method\":\"org.varlink.service.GetInfo\"}",
                "{\"parameters\":{\"vendor\":\"sweepd\",\"product\":\"sweepd\",\"version\":\"1.2.3\",\"url\":"
                "\"https://example.org\",\"interfaces\":[\"org.varlink.service\",\"io.sweepd\"]}}");
        static const char *const texts[][2] = { { "io.sweepd", interface_text_sweepd },
                { "org.varlink.service", interface_text_service } };
        for (size_t i = 0; i < ELEMENTS(texts); i++) {
                char call[256], line[64];
                snprintf(call, sizeof call,
                        "{\"method\":\"org.varlink.service.GetInterfaceDescription\",\"parameters\":{\"interface\":"
                        "\"%s\"}}",
                        texts[i][0]);
                peer_call(&p, call);
                json_t *reply = peer_next(&p);
                ck_assert_str_eq(string_in(reply, "description"), texts[i][1]);
                snprintf(line, sizeof line, "\ninterface %s\n", texts[i][0]);
                ck_assert_ptr_nonnull(strstr(texts[i][1], line));
                json_decref(reply);
        }
        peer_close(&p);
}
END_TEST

START_TEST(what_does_not_exist_is_named) {
        struct peer p = peer_open(bench_now);
        expect_text(&p, "{\"method\":\"io.sweepd.Nonsense\"}",
                "{\"error\":\"org.varlink.service.MethodNotFound\",\"parameters\":{\"method\":\"io.sweepd.Nonsense\"}}");
        expect_text(&p, "{\"method\":\"io.sweep.GetDaemon\"}",
                "{\"error\":\"org.varlink.service.InterfaceNotFound\",\"parameters\":{\"interface\":\"io.sweep\"}}");
        expect_text(&p, "{\"method\":\"GetDaemon\"}",
                "{\"error\":\"org.varlink.service.MethodNotFound\",\"parameters\":{\"method\":\"GetDaemon\"}}");
        peer_call(&p,
                "{\"method\":\"org.varlink.service.GetInterfaceDescription\",\"parameters\":{\"interface\":\"x.y\"}}");
        expect_error(&p, SERVICE_ERROR "InterfaceNotFound");
        ck_assert_uint_eq(bench_now->requests, 0);
        peer_close(&p);
}
END_TEST

START_TEST(every_method_of_the_interface_is_known) {
        struct peer p = peer_open(bench_now);
        unsigned count = 0;
        for (const char *at = interface_text_sweepd; (at = strstr(at, "\nmethod ")); count++) {
                at += strlen("\nmethod ");
                char call[128];
                snprintf(call, sizeof call, "{\"method\":\"io.sweepd.%.*s\",\"parameters\":{\"no_such\":1}}",
                        (int)strcspn(at, "("), at);
                peer_call(&p, call);
                json_t *reply = peer_next(&p);
                const char *error = error_of(reply);
                ck_assert_msg(strcmp(error, SERVICE_ERROR "InvalidParameter") == 0, "%s: %s", call, error);
                json_decref(reply);
        }
        ck_assert_uint_eq(count, 20);
        peer_close(&p);
}
END_TEST

/* Compares an object with a type of the interface: the same fields, in the same order, and null only where allowed. */
static void check_type(const json_t *object, const char *type) {
        char head[64];
        snprintf(head, sizeof head, "\ntype %s (", type);
        const char *at = strstr(interface_text_sweepd, head);
        ck_assert_ptr_nonnull(at);
        at += strlen(head);
        void *field = json_object_iter((json_t *)object);
        while (*at != ')') {
                at += strspn(at, " \n,");
                size_t length = strcspn(at, ":");
                ck_assert_msg(field, "%s lacks %.*s", type, (int)length, at);
                const char *key = json_object_iter_key(field);
                ck_assert_msg(strlen(key) == length && strncmp(key, at, length) == 0, "%s.%s: %.*s is due", type, key,
                        (int)length, at);
                at += length + 2;
                ck_assert_msg(*at == '?' || !json_is_null(json_object_iter_value(field)), "%s.%s is null", type, key);
                for (int depth = 0; depth > 0 || (*at != ',' && *at != ')' && *at != '\n'); at++)
                        depth += *at == '(' ? 1 : *at == ')' ? -1 : 0;
                at += strspn(at, "\n");
                field = json_object_iter_next((json_t *)object, field);
        }
        ck_assert_msg(!field, "%s has too much", type);
}

START_TEST(records_have_the_fields_of_the_interface) {
        struct peer p = peer_open(bench_now);
        peer_call(&p, "{\"method\":\"io.sweepd.GetDaemon\"}");
        json_t *reply = peer_next(&p), *record = json_object_get(json_object_get(reply, "parameters"), "daemon");
        check_type(record, "Daemon");
        check_type(json_array_get(json_object_get(record, "workers"), 0), "Worker");
        json_decref(reply);

        bench_now->devices = 1;
        peer_call(&p, "{\"method\":\"io.sweepd.ListDevices\"}");
        reply = peer_next(&p);
        record = json_object_get(json_object_get(reply, "parameters"), "device");
        check_type(record, "Device");
        check_type(json_object_get(record, "identity"), "Identity");
        json_decref(reply);

        peer_call(&p, "{\"method\":\"io.sweepd.GetFinding\",\"parameters\":{\"id\":9}}");
        reply = peer_next(&p);
        check_type(json_object_get(json_object_get(reply, "parameters"), "finding"), "Finding");
        json_decref(reply);

        peer_call(&p, "{\"method\":\"io.sweepd.GetSweep\",\"parameters\":{\"id\":9}}");
        reply = peer_next(&p);
        record = json_object_get(json_object_get(reply, "parameters"), "sweep");
        check_type(record, "Sweep");
        ck_assert_uint_eq(
                json_array_size(json_object_get(record, "latency")), 1); /* the operations that were measured */
        check_type(json_array_get(json_object_get(record, "latency"), 0), "Latency");
        json_decref(reply);

        peer_call(&p, "{\"method\":\"io.sweepd.GetSweep\",\"parameters\":{\"id\":10}}");
        reply = peer_next(&p);
        record = json_object_get(json_object_get(reply, "parameters"), "sweep");
        ck_assert(json_is_null(json_object_get(record, "latency")));
        check_type(record, "Sweep");
        json_decref(reply);

        peer_call(&p, "{\"method\":\"io.sweepd.GetMap\",\"parameters\":{\"device\":\"a\",\"regions\":2}}");
        reply = peer_next(&p);
        record = json_object_get(json_object_get(reply, "parameters"), "regions");
        ck_assert_uint_eq(json_array_size(record), 2);
        check_type(json_array_get(record, 0), "Region");
        check_type(json_array_get(record, 1), "Region");
        json_decref(reply);
        peer_close(&p);
}
END_TEST

/* A device with everything that can be known about it. */
static void answer_full_device(void *userdata, struct call *call, const struct control_request *request) {
        struct device_record device = { .name = "d",
                .path = "/dev/d",
                .state = DEVICE_REFUSED,
                .assurance = ASSURANCE_READABLE,
                .has_progress = true,
                .progress = { .phase = PHASE_READ },
                .rate_target_bytes = 55,
                .rate_rule = PACE_RULE_LIMITS_RATE,
                .coverage = 0.5,
                .write_cache = 1,
                .cache_defeated = -1,
                .next_due_us = 77,
                .every_us = 88,
                .window_closes_us = 99 };
        reason_set(&device.reason, "gone", "plug it in", "nothing at %s", "/dev/d");
        call_reply_device(call, &device, false);
}

START_TEST(what_is_known_has_a_value_and_what_is_not_is_null) {
        struct bench *b = bench_now;
        struct control_options options = bench_options(b, -1);
        options.handlers.on_request = answer_full_device;
        control_free(b->control);
        ck_assert_int_eq(control_new(&b->control, &options), CONTROL_OK);
        struct peer p = peer_open(b);
        peer_call(&p, "{\"method\":\"io.sweepd.ListDevices\"}");
        json_t *reply = peer_next(&p), *device = json_object_get(json_object_get(reply, "parameters"), "device");
        check_type(device, "Device");
        const json_t *progress = json_object_get(device, "progress");
        check_type(progress, "Progress");
        ck_assert_int_eq(json_integer_value(json_object_get(progress, "rate_target")), 55);
        ck_assert_str_eq(json_string_value(json_object_get(progress, "rate_rule")), "limits_rate");
        check_type(json_object_get(device, "reason"), "Reason");
        ck_assert_str_eq(json_string_value(json_object_get(device, "state")), "refused");
        ck_assert_str_eq(json_string_value(json_object_get(device, "assurance")), "readable");
        ck_assert(json_is_true(json_object_get(device, "write_cache")));
        ck_assert(json_is_null(json_object_get(device, "cache_defeated")));
        ck_assert(json_is_null(json_object_get(device, "identity")));
        ck_assert(json_is_null(json_object_get(device, "size")));
        ck_assert(json_is_null(json_object_get(device, "oldest_verified_at")));
        ck_assert_int_eq(json_integer_value(json_object_get(device, "next_due_at")), 77);
        ck_assert_int_eq(json_integer_value(json_object_get(device, "every_us")), 88);
        ck_assert(json_is_null(json_object_get(device, "window_opens_at")));
        ck_assert_int_eq(json_integer_value(json_object_get(device, "window_closes_at")), 99);
        ck_assert_double_eq(json_real_value(json_object_get(device, "coverage")), 0.5);
        json_decref(reply);
        peer_close(&p);
}
END_TEST

START_TEST(rescues_are_told_exactly) {
        struct peer p = peer_open(bench_now);
        peer_call(&p, "{\"method\":\"io.sweepd.ListRescues\",\"parameters\":{\"device\":\"a\"}}");
        json_t *reply = peer_next(&p);
        check_type(json_object_get(json_object_get(reply, "parameters"), "rescue"), "Rescue");
        json_decref(reply);
        ck_assert_str_eq(bench_now->last.device, "a");
        expect_text(&p, "{\"method\":\"io.sweepd.ExportRescue\",\"parameters\":{\"id\":7},\"more\":true}",
                "{\"parameters\":{\"offset\":8192,\"data_base64\":\"AAEC\",\"text\":null},\"continues\":true}");
        CLEANUP_FREE char *last = peer_next_text(&p);
        ck_assert_str_eq(last, "{\"parameters\":{\"offset\":12288,\"data_base64\":\"\",\"text\":\"can't be read\"}}");
        ck_assert_uint_eq(bench_now->last.id, 7);
        expect_text(&p, "{\"method\":\"io.sweepd.RetryRescue\",\"parameters\":{\"id\":7}}", "{\"parameters\":{}}");
        expect_text(&p, "{\"method\":\"io.sweepd.ForgetRescue\",\"parameters\":{\"id\":7,\"serial\":\"ZA 1\"}}",
                "{\"parameters\":{}}");
        ck_assert_str_eq(bench_now->last.serial, "ZA 1");
        peer_call(&p, "{\"method\":\"io.sweepd.ForgetRescue\",\"parameters\":{\"id\":7}}");
        expect_invalid(&p, "serial");
        peer_call(&p, "{\"method\":\"io.sweepd.ExportRescue\",\"parameters\":{\"id\":-1}}");
        expect_invalid(&p, "id");
        peer_close(&p);
}
END_TEST

START_TEST(a_serial_that_would_be_cut_off_is_refused) {
        struct peer p = peer_open(bench_now);
        char call[8192];
        snprintf(call, sizeof call,
                "{\"method\":\"io.sweepd.ForgetRescue\",\"parameters\":{\"id\":1,\"serial\":\"%05000d\"}}", 0);
        peer_call(&p, call);
        expect_invalid(&p, "serial");
        peer_close(&p);
}
END_TEST

START_TEST(a_finding_is_told_exactly) {
        struct peer p = peer_open(bench_now);
        expect_text(&p, "{\"method\":\"io.sweepd.GetFinding\",\"parameters\":{\"id\":9}}",
                "{\"parameters\":{\"finding\":{\"id\":9,\"device\":\"disk-1\",\"sweep_id\":3,\"offset\":4096,\"length\":"
                "512,\"fault\":\"bit_flip\",\"persistence\":\"unknown\",\"state\":\"acknowledged\",\"text\":\"2 bits "
                "differ\",\"detail\":{\"bits\":\"2\"},\"count\":2,\"first_seen_at\":10,\"last_seen_at\":20,"
                "\"acknowledged_at\":30,\"comment\":\"seen ?\xc3\xa9\"},\"expected\":\"ab01\",\"found\":\"aaff\"}}");
        peer_close(&p);
}
END_TEST

START_TEST(a_map_has_1_to_65536_regions) {
        struct peer p = peer_open(bench_now);
        expect_text(&p, "{\"method\":\"io.sweepd.GetMap\",\"parameters\":{\"device\":\"a\",\"regions\":65536}}",
                "{\"parameters\":{\"regions\":[{\"offset\":0,\"length\":4096,\"checked_at\":10,\"verified_at\":null,"
                "\"latency_max_us\":300,\"findings\":2},{\"offset\":4096,\"length\":512,\"checked_at\":null,"
                "\"verified_at\":null,\"latency_max_us\":null,\"findings\":0}]}}");
        ck_assert_uint_eq(bench_now->last.regions, 65536);
        static const char *const wrong[] = { "0", "65537", "-1", "\"8\"", "null" };
        for (size_t i = 0; i < ELEMENTS(wrong); i++) {
                char call[128];
                snprintf(call, sizeof call,
                        "{\"method\":\"io.sweepd.GetMap\",\"parameters\":{\"device\":\"a\",\"regions\":%s}}", wrong[i]);
                expect_text(&p, call,
                        "{\"error\":\"org.varlink.service.InvalidParameter\",\"parameters\":{\"parameter\":\"regions\"}}");
        }
        peer_close(&p);
}
END_TEST

START_TEST(errors_carry_what_the_interface_says) {
        static const char *const expected[] = {
                ("{\"error\":\"io.sweepd.Refused\",\"parameters\":{\"device\":\"disk-1\",\"reason\":{\"rule\":"
                 "\"signature\",\"found\":\"an ext4 file system\",\"remedy\":\"wipe it\"}}}"),
                "{\"error\":\"io.sweepd.Busy\",\"parameters\":{\"device\":\"disk-1\",\"state\":\"queued\"}}",
                "{\"error\":\"io.sweepd.NotRunning\",\"parameters\":{\"device\":\"disk-1\"}}",
                "{\"error\":\"io.sweepd.InvalidConfig\",\"parameters\":{\"file\":\"/etc/x\",\"line\":12,\"text\":\"no\"}}",
                "{\"error\":\"io.sweepd.LedgerUnavailable\",\"parameters\":{\"text\":\"disk full\"}}",
                "{\"error\":\"io.sweepd.TooMany\",\"parameters\":{\"limit\":9}}",
                "{\"error\":\"io.sweepd.NoSuchId\",\"parameters\":{\"id\":7}}",
        };
        struct peer p = peer_open(bench_now);
        for (size_t i = 0; i < ELEMENTS(expected); i++) {
                char call[96];
                snprintf(call, sizeof call, "{\"method\":\"io.sweepd.GetSweep\",\"parameters\":{\"id\":%zu}}", i + 1);
                expect_text(&p, call, expected[i]);
        }
        peer_close(&p);
}
END_TEST

START_TEST(parameters_reach_the_manager) {
        struct peer p = peer_open(bench_now);
        peer_call(&p,
                "{\"method\":\"io.sweepd.StartSweep\",\"parameters\":{\"device\":\"a\",\"mode\":\"pattern\",\"patterns\":"
                "[\"0xaa\",\"0x55\"],\"overwrite\":\"wwn\"}}");
        json_decref(peer_next(&p));
        const struct control_request *last = &bench_now->last;
        ck_assert_int_eq(last->method, METHOD_START_SWEEP);
        ck_assert_str_eq(last->device, "a");
        ck_assert_int_eq(last->mode, MODE_PATTERN);
        ck_assert(last->has_patterns);
        ck_assert(pattern_list_is(&last->patterns, &(struct pattern_list){ 2, { 0xaa, 0x55 } }));
        ck_assert_str_eq(last->overwrite, "wwn");
        ck_assert(!last->more);

        peer_call(&p,
                "{\"method\":\"io.sweepd.ListFindings\",\"more\":true,\"parameters\":{\"device\":null,\"all\":true,"
                "\"after\":12}}");
        json_decref(peer_next(&p));
        ck_assert_int_eq(last->method, METHOD_LIST_FINDINGS);
        ck_assert_str_eq(last->device, "");
        ck_assert_int_eq(last->mode, MODE_COUNT);
        ck_assert(last->all && last->more);
        ck_assert_uint_eq(last->after, 12);

        peer_call(&p, "{\"method\":\"io.sweepd.ListSweeps\",\"parameters\":{\"device\":\"b\",\"limit\":3}}");
        json_decref(peer_next(&p));
        ck_assert_uint_eq(last->limit, 3);
        ck_assert(!last->all);
        peer_close(&p);
}
END_TEST

START_TEST(a_parameter_that_does_not_fit_is_refused_by_name) {
        static const char *const wrong[][3] = {
                { "StartSweep", "{}", "device" },
                { "StartSweep", "{\"device\":null}", "device" },
                { "StartSweep", "{\"device\":7}", "device" },
                { "StartSweep", "{\"device\":\"a\",\"mode\":\"paterns\"}", "mode" },
                { "StartSweep", "{\"device\":\"a\",\"patterns\":\"0xaa\"}", "patterns" },
                { "StartSweep", "{\"device\":\"a\",\"patterns\":[\"0xaa\",1]}", "patterns" },
                { "StartSweep",
                        "{\"device\":\"a\",\"patterns\":[\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\","
                        "\"\",\"\",\"\",\"\",\"\"]}",
                        "patterns" },
                { "StartSweep", "{\"device\":\"a\",\"patterns\":[\"0xag\"]}", "patterns" },
                { "StartSweep", "{\"device\":\"a\",\"patterns\":[\"0xaa\",\"0xAA\"]}", "patterns" },
                { "StartSweep", "{\"device\":\"a\",\"force\":true}", "force" },
                { "GetSweep", "{\"id\":-1}", "id" },
                { "GetSweep", "{\"id\":1.5}", "id" },
                { "GetSweep", "{\"id\":\"1\"}", "id" },
                { "GetSweep", "{}", "id" },
                { "ListFindings", "{\"all\":1}", "all" },
                { "ListFindings", "{\"after\":-2}", "after" },
                { "ListSweeps", "{\"limit\":false}", "limit" },
                { "GetDaemon", "{\"device\":\"a\"}", "device" },
        };
        struct peer p = peer_open(bench_now);
        for (size_t i = 0; i < ELEMENTS(wrong); i++) {
                char call[512];
                snprintf(
                        call, sizeof call, "{\"method\":\"io.sweepd.%s\",\"parameters\":%s}", wrong[i][0], wrong[i][1]);
                peer_call(&p, call);
                expect_invalid(&p, wrong[i][2]);
        }
        ck_assert_uint_eq(bench_now->requests, 0);
        peer_close(&p);
}
END_TEST

START_TEST(an_identity_that_is_too_long_is_refused_not_cut_off) {
        struct peer p = peer_open(bench_now);
        char identity[4097], call[5000];
        memset(identity, 'x', sizeof identity - 1);
        identity[sizeof identity - 1] = '\0';
        snprintf(call, sizeof call,
                "{\"method\":\"io.sweepd.StartSweep\",\"parameters\":{\"device\":\"a\",\"overwrite\":\"%s\"}}",
                identity);
        peer_call(&p, call);
        expect_invalid(&p, "overwrite");
        peer_close(&p);
}
END_TEST

START_TEST(a_name_that_no_device_can_have_is_not_found) {
        struct peer p = peer_open(bench_now);
        for (size_t length = 0; length <= DEVICE_NAME_BYTES; length++) {
                char name[DEVICE_NAME_BYTES + 1] = "", call[256];
                memset(name, 'n', length);
                snprintf(call, sizeof call,
                        "{\"method\":\"io.sweepd.ListFindings\",\"parameters\":{\"device\":\"%s\"}}", name);
                peer_call(&p, call);
                bool possible = length > 0 && length < DEVICE_NAME_BYTES;
                json_t *reply = peer_next(&p);
                ck_assert_str_eq(error_of(reply), possible ? "(none)" : "io.sweepd.NoSuchDevice");
                json_decref(reply);
                if (possible)
                        ck_assert_str_eq(bench_now->last.device, name);
        }
        peer_close(&p);
}
END_TEST

START_TEST(pipelined_calls_are_answered_in_order_however_they_are_split) {
        for (uint64_t seed = 1; seed <= 60; seed++) {
                uint64_t random = seed;
                struct peer p = peer_open(bench_now);
                char calls[20000];
                size_t length = 0, sent = 0;
                for (unsigned id = 100; id < 300; id++) {
                        length += (size_t)sprintf(calls + length,
                                          "{\"method\":\"io.sweepd.GetSweep\",\"parameters\":{\"id\":%u}}", id) +
                                1;
                        ck_assert_uint_lt(length, sizeof calls - 100);
                }
                while (sent < length) {
                        size_t piece = MIN(1 + suite_random(&random) % (seed % 2 ? 40 : 4000), length - sent);
                        ck_assert(peer_send(&p, calls + sent, piece));
                        sent += piece;
                }
                for (int id = 100; id < 300; id++) {
                        json_t *reply = peer_next(&p),
                               *sweep = json_object_get(json_object_get(reply, "parameters"), "sweep");
                        ASSERT_SEEDED(seed, json_integer_value(json_object_get(sweep, "id")) == id);
                        ASSERT_SEEDED(seed,
                                json_integer_value(json_object_get(sweep, "bytes_total")) == (json_int_t)INT64_MAX);
                        json_decref(reply);
                }
                peer_close(&p);
        }
}
END_TEST

START_TEST(a_call_that_waits_holds_back_the_next_one) {
        struct bench *b = bench_now;
        struct peer p = peer_open(b), q = peer_open(b);
        peer_call(&p, "{\"method\":\"io.sweepd.CancelSweep\",\"parameters\":{\"device\":\"a\"}}");
        peer_call(&p, "{\"method\":\"io.sweepd.GetSweep\",\"parameters\":{\"id\":7}}");
        ck_assert_ptr_nonnull(b->held);
        ck_assert_uint_eq(b->requests, 1);
        peer_call(&q, "{\"method\":\"io.sweepd.GetDaemon\"}"); /* others are not held back */
        expect_error(&q, "(none)");
        call_fail_not_running(STEAL(b->held), "a");
        expect_error(&p, "io.sweepd.NotRunning");
        expect_error(&p, "io.sweepd.NoSuchId");
        peer_close(&p);
        peer_close(&q);
        ck_assert_uint_eq(b->gone, 0);
}
END_TEST

START_TEST(oneway_gets_no_reply) {
        struct peer p = peer_open(bench_now);
        peer_call(&p, "{\"method\":\"io.sweepd.Reload\",\"oneway\":true}");
        peer_call(&p, "{\"method\":\"io.sweepd.Nonsense\",\"oneway\":true}");
        bench_now->devices = 3;
        peer_call(&p, "{\"method\":\"io.sweepd.ListDevices\",\"oneway\":true,\"more\":true}");
        ck_assert(!bench_now->last.more); /* who takes no reply takes no more of them */
        peer_call(&p, "{\"method\":\"io.sweepd.GetSweep\",\"parameters\":{\"id\":7}}");
        expect_error(&p, "io.sweepd.NoSuchId");
        ck_assert_uint_eq(bench_now->requests, 3);
        peer_close(&p);
}
END_TEST

START_TEST(oneway_is_done_though_the_peer_leaves_at_once) {
        struct bench *b = bench_now;
        struct peer p = peer_open(b);
        static const char call[] = "{\"method\":\"io.sweepd.Reload\",\"oneway\":true}\0"
                                   "{\"method\":\"io.sweepd.Reload\",\"oneway\":true}";
        ck_assert_int_eq(send(p.fd, call, sizeof call, 0), sizeof call);
        peer_close(&p);
        ck_assert_uint_eq(b->requests, 2);
}
END_TEST

START_TEST(a_peer_that_only_stops_sending_gets_its_replies) {
        struct peer p = peer_open(bench_now);
        bench_now->devices = 5000;
        peer_call(&p, "{\"method\":\"io.sweepd.ListDevices\",\"more\":true}");
        shutdown(p.fd, SHUT_WR);
        for (unsigned i = 0; i < 5000; i++)
                expect_error(&p, "(none)");
        expect_end(&p);
        peer_close(&p);
}
END_TEST

START_TEST(a_list_of_several_needs_more) {
        struct peer p = peer_open(bench_now);
        bench_now->devices = 2;
        peer_call(&p, "{\"method\":\"io.sweepd.ListDevices\"}");
        expect_error(&p, SERVICE_ERROR "ExpectedMore");
        bench_now->devices = 0;
        expect_text(&p, "{\"method\":\"io.sweepd.ListDevices\",\"more\":true}", "{\"parameters\":{}}");
        peer_close(&p);
}
END_TEST

START_TEST(a_slow_reader_gets_everything_in_order_and_the_manager_waits) {
        struct bench *b = bench_now;
        for (uint64_t seed = 1; seed <= 10; seed++) {
                uint64_t random = seed;
                b->devices = 3000;
                b->drained = 0;
                struct peer p = peer_open(b);
                peer_call(&p, "{\"method\":\"io.sweepd.ListDevices\",\"more\":true}");
                unsigned seen = 0;
                for (bool last = false; !last; seen++) {
                        while (!p.used || !memchr(p.bytes, '\0', p.used)) {
                                turn(b);
                                peer_take(&p, 1 + suite_random(&random) % 20000);
                        }
                        json_t *reply = peer_next(&p);
                        char name[32];
                        snprintf(name, sizeof name, "device-%u", seen);
                        json_t *device = json_object_get(json_object_get(reply, "parameters"), "device");
                        ASSERT_SEEDED(seed, !strcmp(json_string_value(json_object_get(device, "name")), name));
                        last = !json_object_get(reply, "continues");
                        json_decref(reply);
                }
                ASSERT_SEEDED(seed, seen == 3000);
                ASSERT_SEEDED(seed, b->drained > 3);
                peer_close(&p);
        }
}
END_TEST

START_TEST(a_peer_that_reads_nothing_is_asked_no_more) {
        struct bench *b = bench_now;
        struct peer p = peer_open(b);
        /* Far more calls than their replies have room: they wait in the sockets, not in memory. */
        static const char call[] = "{\"method\":\"io.sweepd.GetDaemon\"}";
        ssize_t n;
        do {
                n = send(p.fd, call, sizeof call, MSG_NOSIGNAL);
                turn(b);
        } while (n == sizeof call);
        ck_assert_int_eq(errno, EAGAIN);
        unsigned before = b->requests;
        turn(b);
        ck_assert_uint_eq(b->requests, before);
        peer_close(&p);
        expect_alive(b);
}
END_TEST

/* Sends bytes, which must end in an error that names the field, and the end of that connection alone. */
static void expect_refused(const char *bytes, size_t length, const char *field) {
        struct peer other = peer_open(bench_now), p = peer_open(bench_now);
        (void)peer_send(&p, bytes, length);
        expect_invalid(&p, field);
        expect_end(&p);
        peer_close(&p);
        peer_call(&other, "{\"method\":\"org.varlink.service.GetInfo\"}");
        expect_error(&other, "(none)");
        peer_close(&other);
}

START_TEST(what_is_no_call_ends_its_connection_alone) {
        static const char *const wrong[][2] = {
                { "", "" },
                { "{", "" },
                { "null", "" },
                { "[]", "" },
                { "\"method\"", "" },
                { "{}", "method" },
                { "{\"method\":null}", "method" },
                { "{\"method\":{}}", "method" },
                { "{\"method\":\"a.b\",\"method\":\"a.c\"}", "" },
                { "{\"method\":\"a.b\"} {}", "" },
                { "{\"method\":\"a\\u0000.b\"}", "" },
                { "{\"method\":\"a.\xff\"}", "" },
                { "{\"method\":\"a.\xc0\x80\"}", "" },
                { "{\"method\":\"a.b\",\"parameters\":[]}", "parameters" },
                { "{\"method\":\"a.b\",\"more\":1}", "more" },
                { "{\"method\":\"a.b\",\"oneway\":\"yes\"}", "oneway" },
                { "{\"method\":\"a.b\",\"upgrade\":0}", "upgrade" },
                { "{\"method\":\"a.b\",\"parameters\":{\"id\":99999999999999999999}}", "" },
        };
        for (size_t i = 0; i < ELEMENTS(wrong); i++)
                expect_refused(wrong[i][0], strlen(wrong[i][0]) + 1, wrong[i][1]);
        ck_assert_uint_eq(bench_now->requests, 0);
}
END_TEST

START_TEST(a_message_may_have_64_kib_and_no_byte_more) {
        enum { MOST = 64 << 10 };
        static const char call[] = "{\"method\":\"org.varlink.service.GetInfo\"}";
        char *bytes = malloc(MOST + 2);
        memset(bytes, ' ', MOST + 1);
        memcpy(bytes, call, strlen(call));
        bytes[MOST] = '\0';
        struct peer p = peer_open(bench_now);
        for (int i = 0; i < 3; i++) {
                ck_assert(peer_send(&p, bytes, MOST + 1));
                expect_error(&p, "(none)");
        }
        peer_close(&p);
        bytes[MOST] = ' ';
        bytes[MOST + 1] = '\0';
        expect_refused(bytes, MOST + 2, "");
        free(bytes);
}
END_TEST

START_TEST(a_message_may_be_nested_16_deep) {
        for (unsigned depth = 15; depth <= 17; depth++) {
                char call[256] =
                        "{\"method\":\"org.varlink.service.GetInfo\",\"x\":\"[[[[[[[[[[[[[[[[[[[\\\"[[\",\"y\":";
                for (unsigned i = 1; i < depth; i++)
                        strcat(call, "[");
                for (unsigned i = 1; i < depth; i++)
                        strcat(call, "]");
                strcat(call, "}");
                if (depth > 16) {
                        expect_refused(call, strlen(call) + 1, "");
                        continue;
                }
                struct peer p = peer_open(bench_now);
                peer_call(&p, call);
                expect_error(&p, "(none)");
                peer_close(&p);
        }
        char deep[60000];
        memset(deep, '[', sizeof deep);
        deep[sizeof deep - 1] = '\0';
        expect_refused(deep, sizeof deep, "");
}
END_TEST

START_TEST(garbage_never_harms_the_daemon) {
        static const char alphabet[] = "{}[]\",:\\u0\0\0tfn1e-\xff\xc3 method";
        for (uint64_t seed = 1; seed <= 400; seed++) {
                uint64_t random = seed;
                char bytes[3000];
                size_t length = 1 + suite_random(&random) % sizeof bytes;
                for (size_t i = 0; i < length; i++)
                        bytes[i] = seed % 2 ? (char)suite_random(&random)
                                            : alphabet[suite_random(&random) % sizeof alphabet];
                struct peer p = peer_open(bench_now);
                (void)peer_send(&p, bytes, length);
                peer_take(&p, 65536);
                peer_close(&p);
        }
        expect_alive(bench_now);
        ck_assert_uint_eq(bench_now->requests, 0);
}
END_TEST

START_TEST(a_peer_may_vanish_between_any_two_bytes) {
        struct bench *b = bench_now;
        b->devices = 500;
        static const char call[] = "{\"method\":\"io.sweepd.GetDaemon\"}\0"
                                   "{\"method\":\"io.sweepd.ListDevices\",\"more\":true}\0"
                                   "{\"method\":\"io.sweepd.CancelSweep\",\"parameters\":{\"device\":\"a\"}}";
        for (size_t length = 0; length <= sizeof call; length++)
                for (int turns = 0; turns < 12; turns++) {
                        struct peer p = peer_knock(b);
                        ck_assert_int_eq(send(p.fd, call, length, MSG_NOSIGNAL), length);
                        for (int i = 0; i < turns; i++)
                                sd_event_run(b->event, 0);
                        peer_close(&p);
                        ck_assert_ptr_null(b->held);
                }
        ck_assert_uint_gt(b->gone, 0);
        expect_alive(b);
}
END_TEST

START_TEST(an_unfinished_call_hears_once_that_its_peer_is_gone) {
        struct bench *b = bench_now;
        struct peer p = peer_open(b);
        peer_call(&p, "{\"method\":\"io.sweepd.CancelSweep\",\"parameters\":{\"device\":\"a\"}}");
        ck_assert_ptr_nonnull(b->held);
        ck_assert_uint_eq(b->gone, 0);
        peer_close(&p);
        ck_assert_uint_eq(b->gone, 1);
        ck_assert_ptr_null(b->held);
        /* And at the end of the daemon. */
        p = peer_open(b);
        peer_call(&p, "{\"method\":\"io.sweepd.CancelSweep\",\"parameters\":{\"device\":\"a\"}}");
        b->control = control_free(b->control);
        ck_assert_uint_eq(b->gone, 2);
        peer_close(&p);
}
END_TEST

START_TEST(the_33rd_connection_is_told_so) {
        struct peer peers[32];
        for (size_t i = 0; i < ELEMENTS(peers); i++)
                peers[i] = peer_open(bench_now);
        struct peer p = peer_open(bench_now);
        CLEANUP_FREE char *text = peer_next_text(&p);
        ck_assert_str_eq(text, "{\"error\":\"io.sweepd.TooMany\",\"parameters\":{\"limit\":32}}");
        expect_end(&p);
        peer_close(&p);
        peer_close(&peers[5]);
        peers[5] = peer_open(bench_now);
        for (size_t i = 0; i < ELEMENTS(peers); i++) {
                peer_call(&peers[i], "{\"method\":\"org.varlink.service.GetInfo\"}");
                expect_error(&peers[i], "(none)");
                peer_close(&peers[i]);
        }
}
END_TEST

START_TEST(others_get_8_connections_each_and_leave_some_to_root) {
        struct peer peers[24];
        for (unsigned i = 0; i < ELEMENTS(peers); i++) {
                peers[i] = peer_open_as(bench_now, NOBODY - i / 8);
                if (i != 7)
                        continue;
                struct peer ninth = peer_open_as(bench_now, NOBODY);
                CLEANUP_FREE char *text = peer_next_text(&ninth);
                ck_assert_str_eq(text, "{\"error\":\"io.sweepd.TooMany\",\"parameters\":{\"limit\":8}}");
                peer_close(&ninth);
        }
        struct peer fourth = peer_open_as(bench_now, NOBODY - 3);
        CLEANUP_FREE char *text = peer_next_text(&fourth);
        ck_assert_str_eq(text, "{\"error\":\"io.sweepd.TooMany\",\"parameters\":{\"limit\":24}}");
        peer_close(&fourth);
        expect_alive(bench_now); /* as root */
        for (size_t i = 0; i < ELEMENTS(peers); i++)
                peer_close(&peers[i]);
}
END_TEST

START_TEST(who_is_not_root_may_ask_but_not_change) {
        static const char *const forbidden[] = { "StartSweep", "CancelSweep", "Reload", "PauseSweep", "ResumeSweep",
                "Acknowledge", "Retire", "TestAlert", "ExportRescue", "RetryRescue", "ForgetRescue" };
        struct peer p = peer_open_as(bench_now, NOBODY);
        for (size_t i = 0; i < ELEMENTS(forbidden); i++) {
                char call[96];
                snprintf(call, sizeof call, "{\"method\":\"io.sweepd.%s\"}", forbidden[i]);
                expect_text(&p, call, "{\"error\":\"org.varlink.service.PermissionDenied\",\"parameters\":{}}");
        }
        ck_assert_uint_eq(bench_now->requests, 0);
        peer_call(&p, "{\"method\":\"io.sweepd.GetDaemon\"}");
        expect_error(&p, "(none)");
        peer_close(&p);
}
END_TEST

/* Until the daemon's side has ended it; how long that took. */
static uint64_t wait_for_end(struct peer *p, uint64_t since_us) {
        while (!(p->ended)) {
                ck_assert_uint_lt(clock_monotonic_us() - since_us, 30 * USEC_PER_SEC);
                sd_event_run(p->bench->event, 50 * USEC_PER_MSEC);
                struct pollfd poll_fd = { .fd = p->fd, .events = POLLRDHUP };
                p->ended = poll(&poll_fd, 1, 0) == 1 && (poll_fd.revents & (POLLHUP | POLLRDHUP));
        }
        return clock_monotonic_us() - since_us;
}

START_TEST(who_says_nothing_or_takes_nothing_is_cut_off_in_time) {
        struct bench *b = bench_now;
        b->heedless = true;
        b->devices = 8000; /* over 2 MiB */
        struct peer talker = peer_open(b), silent = peer_open(b), stalled = peer_open(b);
        uint64_t since_us = clock_monotonic_us();
        peer_call(&talker, "{\"method\":\"org.varlink.service.GetInfo\"}");
        expect_error(&talker, "(none)");
        ck_assert(peer_send(&silent, "{\"method\":", 10)); /* half a message is none */
        peer_call(&stalled, "{\"method\":\"io.sweepd.ListDevices\",\"more\":true}");
        uint64_t silent_us = wait_for_end(&silent, since_us);
        ck_assert_msg(silent_us > 4900 * USEC_PER_MSEC && silent_us < 8 * USEC_PER_SEC, "%" PRIu64, silent_us);
        uint64_t stalled_us = wait_for_end(&stalled, since_us);
        ck_assert_msg(stalled_us > 9900 * USEC_PER_MSEC && stalled_us < 14 * USEC_PER_SEC, "%" PRIu64, stalled_us);
        peer_call(&talker, "{\"method\":\"org.varlink.service.GetInfo\"}");
        expect_error(&talker, "(none)");
        peer_close(&talker);
        peer_close(&silent);
        peer_close(&stalled);
}
END_TEST

START_TEST(a_reader_that_goes_on_is_never_cut_off) {
        struct bench *b = bench_now;
        b->heedless = true;
        b->devices = 8000;
        struct peer p = peer_open(b);
        peer_call(&p, "{\"method\":\"io.sweepd.ListDevices\",\"more\":true}");
        for (int i = 0; i < 13; i++) { /* longer than a stall, but a little each second */
                uint64_t until_us = clock_monotonic_us() + USEC_PER_SEC;
                peer_take(&p, 65536);
                while (clock_monotonic_us() < until_us)
                        sd_event_run(b->event, 100 * USEC_PER_MSEC);
        }
        for (unsigned i = 0; i < b->devices; i++)
                expect_error(&p, "(none)");
        peer_close(&p);
}
END_TEST

START_TEST(a_manager_that_never_stops_costs_the_connection_not_the_daemon) {
        struct bench *b = bench_now;
        b->heedless = true;
        b->devices = 100000;
        struct peer p = peer_open(b);
        peer_call(&p, "{\"method\":\"io.sweepd.ListDevices\",\"more\":true}");
        ck_assert_uint_lt(wait_for_end(&p, clock_monotonic_us()), 5 * USEC_PER_SEC);
        peer_close(&p);
        expect_alive(b);
}
END_TEST

START_TEST(a_stale_socket_is_replaced_and_nothing_else) {
        struct bench *b = bench_now;
        struct control *second = NULL;
        struct control_options options = bench_options(b, -1);
        ck_assert_int_eq(control_new(&second, &options), CONTROL_E_IN_USE);
        expect_alive(b);

        b->control = control_free(b->control);
        ck_assert_int_ne(access(b->path, F_OK), 0);
        int stale = socket(AF_UNIX, SOCK_STREAM, 0);
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        strcpy(address.sun_path, b->path);
        ck_assert_int_eq(bind(stale, (struct sockaddr *)&address, sizeof address), 0);
        close(stale);
        ck_assert_int_eq(control_new(&b->control, &options), CONTROL_OK);
        struct stat file;
        ck_assert_int_eq(stat(b->path, &file), 0);
        ck_assert_uint_eq(file.st_mode & 07777, 0660);
        expect_alive(b);

        b->control = control_free(b->control);
        int plain = open(b->path, O_CREAT | O_EXCL | O_WRONLY, 0600);
        close(plain);
        ck_assert_int_eq(control_new(&b->control, &options), -EEXIST);
        ck_assert_int_eq(unlink(b->path), 0); /* it is still there */
        options.socket_path = "/nonexistent/control";
        ck_assert_int_eq(control_new(&b->control, &options), -ENOENT);
        char longest[200];
        memset(longest, 'x', sizeof longest - 1);
        longest[sizeof longest - 1] = '\0';
        options.socket_path = longest;
        ck_assert_int_eq(control_new(&b->control, &options), -ENAMETOOLONG);
}
END_TEST

START_TEST(a_successors_socket_is_left_alone) {
        struct bench *b = bench_now;
        struct control_options options = bench_options(b, -1);
        ck_assert_int_eq(unlink(b->path), 0);
        struct control *successor = NULL;
        ck_assert_int_eq(control_new(&successor, &options), CONTROL_OK);
        control_free(b->control);
        b->control = successor;
        expect_alive(b);
}
END_TEST

START_TEST(a_socket_from_systemd_is_served_and_not_removed) {
        struct bench *b = bench_now;
        b->control = control_free(b->control);
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        strcpy(address.sun_path, b->path);
        ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
        ck_assert_int_eq(listen(fd, 5), 0);
        struct control_options options = bench_options(b, fd);
        ck_assert_int_eq(control_new(&b->control, &options), CONTROL_OK);
        expect_alive(b);
        b->control = control_free(b->control);
        ck_assert_int_eq(fcntl(fd, F_GETFD), -1);
        ck_assert_int_eq(unlink(b->path), 0);
}
END_TEST

static unsigned allocations_left;

static void *scarce_malloc(size_t bytes) {
        if (allocations_left == 0)
                return NULL;
        allocations_left--;
        return malloc(bytes);
}

START_TEST(memory_that_runs_out_ends_the_connection_not_the_daemon) {
        struct bench *b = bench_now;
        unsigned answered = 0, ended = 0;
        b->devices = 1;
        for (unsigned n = 0; n < 400; n++) {
                struct peer p = peer_open(b);
                allocations_left = n;
                json_set_alloc_funcs(scarce_malloc, free);
                static const char calls[] = "{\"method\":\"io.sweepd.ListDevices\",\"parameters\":{\"device\":\"\"}}\0"
                                            "{\"method\":\"io.sweepd.ListDevices\",\"parameters\":{\"device\":\"a\"}}";
                (void)peer_send(&p, calls, sizeof calls);
                json_set_alloc_funcs(malloc, free);
                json_t *first = peer_next(&p), *second = first ? peer_next(&p) : NULL;
                if (second)
                        answered++;
                else
                        ended++;
                json_decref(first);
                json_decref(second);
                peer_close(&p);
        }
        ck_assert_uint_gt(ended, 50);
        ck_assert_uint_gt(answered, 50);
        expect_alive(b);
}
END_TEST

static void add_protocol_tests(TCase *tests) {
        tcase_add_test(tests, the_service_describes_itself);
        tcase_add_test(tests, what_does_not_exist_is_named);
        tcase_add_test(tests, records_have_the_fields_of_the_interface);
        tcase_add_test(tests, what_is_known_has_a_value_and_what_is_not_is_null);
        tcase_add_test(tests, rescues_are_told_exactly);
        tcase_add_test(tests, a_serial_that_would_be_cut_off_is_refused);
        tcase_add_test(tests, a_finding_is_told_exactly);
        tcase_add_test(tests, a_map_has_1_to_65536_regions);
        tcase_add_test(tests, errors_carry_what_the_interface_says);
        tcase_add_test(tests, pipelined_calls_are_answered_in_order_however_they_are_split);
        tcase_add_test(tests, a_peer_that_only_stops_sending_gets_its_replies);
        tcase_add_test(tests, a_list_of_several_needs_more);
        tcase_add_test(tests, a_name_that_no_device_can_have_is_not_found);
}

static void add_limit_tests(TCase *tests) {
        tcase_add_test(tests, a_slow_reader_gets_everything_in_order_and_the_manager_waits);
        tcase_add_test(tests, a_peer_that_reads_nothing_is_asked_no_more);
        tcase_add_test(tests, what_is_no_call_ends_its_connection_alone);
        tcase_add_test(tests, a_message_may_have_64_kib_and_no_byte_more);
        tcase_add_test(tests, a_message_may_be_nested_16_deep);
        tcase_add_test(tests, garbage_never_harms_the_daemon);
        tcase_add_test(tests, who_says_nothing_or_takes_nothing_is_cut_off_in_time);
        tcase_add_test(tests, a_reader_that_goes_on_is_never_cut_off);
        tcase_add_test(tests, a_manager_that_never_stops_costs_the_connection_not_the_daemon);
        tcase_add_test(tests, memory_that_runs_out_ends_the_connection_not_the_daemon);
        tcase_add_test(tests, a_stale_socket_is_replaced_and_nothing_else);
        tcase_add_test(tests, a_successors_socket_is_left_alone);
        tcase_add_test(tests, a_socket_from_systemd_is_served_and_not_removed);
}

/* These call what only root may, or come as several users. */
static void add_root_tests(TCase *tests) {
        tcase_add_test(tests, every_method_of_the_interface_is_known);
        tcase_add_test(tests, parameters_reach_the_manager);
        tcase_add_test(tests, a_parameter_that_does_not_fit_is_refused_by_name);
        tcase_add_test(tests, an_identity_that_is_too_long_is_refused_not_cut_off);
        tcase_add_test(tests, a_call_that_waits_holds_back_the_next_one);
        tcase_add_test(tests, oneway_gets_no_reply);
        tcase_add_test(tests, oneway_is_done_though_the_peer_leaves_at_once);
        tcase_add_test(tests, a_peer_may_vanish_between_any_two_bytes);
        tcase_add_test(tests, an_unfinished_call_hears_once_that_its_peer_is_gone);
        tcase_add_test(tests, the_33rd_connection_is_told_so);
        tcase_add_test(tests, others_get_8_connections_each_and_leave_some_to_root);
        tcase_add_test(tests, who_is_not_root_may_ask_but_not_change);
}

int main(void) {
        if (geteuid() != 0) {
                puts("needs root: privileges and the limits of each user are tested with several users");
                return 77;
        }
        TCase *tests = tcase_create("control");
        tcase_add_checked_fixture(tests, bench_open, bench_close);
        add_protocol_tests(tests);
        add_limit_tests(tests);
        add_root_tests(tests);
        return suite_run("control", tests);
}
