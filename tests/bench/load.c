/*
 * The load generator: keep-alive connections over one epoll, in one thread, so that it leaves the
 * two cores to the server it measures. It knows four requests, and all of a kind go through the
 * same engine: a template with slots of fixed width, and a table with the texts for them.
 *
 *   load prepare  makes codes: POST /api/v1/authorizations, then approve on the admin listener
 *   load run      redeems them: each connection sends its next code as soon as it has its answer, or
 *                 with --rate, codes come at even distances, whatever the server does; then the time
 *                 of an answer counts from when its code came, waiting for a free connection or not
 *   load validate makes authorization requests and the presentations that answer them (ES256, did:jwk),
 *                 then sends these: POST /api/v1/authorizations/{id}/validate
 *
 * `run` counts what was answered before the clock stopped, and as a token only a 201; `validate` likewise, and
 * a 200. They end with status 1 if anything got another answer, or none; also after the clock. With
 * --refused a 503 with Retry-After is no such answer: its code goes into that file.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "support/holder.h"

enum {
    CONNECTIONS_MAX = 10000,
    REQUEST_MAX = 4096,
    ANSWER_MAX = 8192,
    SLOTS_MAX = 2,
    STATUS_MAX = 600,
    SILENCE_MS = 10000, /* no answer at all for so long: the server hangs */
    CHUNK = 10000,      /* open authorization requests at a time: the server bounds them */
    NONCE_WIDTH = 43,
    ID_WIDTH = 36,
    WIDTH_MAX = 2048, /* of a text */
};

__attribute__((format(printf, 1, 2))) static _Noreturn void die(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("load: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(1);
}

static void *allocate(size_t count, size_t size)
{
    void *memory = calloc(count == 0 ? 1 : count, size);
    if (memory == NULL) {
        die("out of memory");
    }
    return memory;
}

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Texts of one width: nonces, ids, codes, ids with the body that goes to each. */

struct table {
    char *text;
    size_t width;
    size_t count;
    size_t capacity;
};

static struct table table_new(size_t capacity)
{
    return (struct table){ .capacity = capacity };
}

static const char *table_at(const struct table *table, size_t index)
{
    return table->text + index * table->width;
}

/* The first text sets the width. */
static void table_add(struct table *table, const char *text, size_t width)
{
    if (table->count == 0) {
        table->width = width;
        table->text = allocate(table->capacity, width);
    }
    if (table->count == table->capacity || width != table->width || width == 0
        || width > WIDTH_MAX) {
        die("a value of %zu characters does not fit among %zu of %zu", width, table->count,
            table->width);
    }
    memcpy(table->text + table->count++ * table->width, text, width);
}

/* Requests: head and body. FIRST stands for the first part of a text of the table, REST for what
 * follows it. */

#define FIRST "\x1f"
#define REST "\x1e"

struct slot {
    size_t at;
    size_t from; /* inside the text */
    size_t width;
};

struct template
{
    char text[REQUEST_MAX];
    size_t length;
    size_t first_width;
    size_t rest_width;
    struct slot slots[SLOTS_MAX];
    size_t slot_count;
};

static void template_add_slot(struct template *template, size_t from, size_t width)
{
    template->slots[template->slot_count++] =
        (struct slot){ .at = template->length, .from = from, .width = width };
    template->length += width;
}

__attribute__((format(printf, 2, 3))) static void template_add(struct template *template,
                                                               const char *format, ...)
{
    char piece[REQUEST_MAX];
    va_list args;
    va_start(args, format);
    int length = vsnprintf(piece, sizeof(piece), format, args);
    va_end(args);
    if (length < 0 || (size_t)length >= sizeof(piece)
        || template->length + (size_t)length + SLOTS_MAX * template->first_width
                   + template->rest_width
               > REQUEST_MAX) {
        die("a request is longer than %d bytes", REQUEST_MAX);
    }
    for (const char *c = piece; *c != '\0'; c++) {
        if (*c == FIRST[0]) {
            template_add_slot(template, 0, template->first_width);
        } else if (*c == REST[0]) {
            template_add_slot(template, template->first_width, template->rest_width);
        } else {
            template->text[template->length++] = *c;
        }
    }
}

/* One exchange of many: what to send, where, and what to make of an answer. */

struct answer {
    const char *text; /* of the table, that the request had */
    int status;
    bool may_retry; /* Retry-After */
    const char *body;
    int64_t took_ns;
    bool in_time;
};

struct job {
    const char *address; /* HOST:PORT */
    struct template template;
    const struct table *texts; /* text i goes into the slots of request i */
    size_t first;              /* requests texts[first..end) */
    size_t end;
    size_t connections;
    int64_t duration_ns; /* 0: until all are answered */
    int64_t interval_ns; /* from one request to the next; 0: as soon as a connection is free */
    void (*on_answer)(struct job *job, const struct answer *answer);
    void (*on_loss)(struct job *job); /* closed instead of answered */
    struct table *results;
    struct tally *tally;
};

struct connection {
    int fd;
    bool waiting; /* for an answer */
    const char *text;
    int64_t due_ns;
    size_t received;
    size_t answer_length; /* 0: not known yet, the head is not complete */
    size_t body_start;
    int status;
    bool may_retry;
    bool closes;
    char request[REQUEST_MAX];
    char answer[ANSWER_MAX + 1];
};

struct engine {
    struct job *job;
    struct sockaddr_in address;
    int epoll;
    struct connection *connections;
    struct connection **idle;
    size_t idle_count;
    size_t next;
    size_t waiting;
    int64_t start_ns;
    int64_t stop_ns; /* INT64_MAX: no clock */
};

static struct sockaddr_in parse_address(const char *text)
{
    char host[64];
    struct sockaddr_in address = { .sin_family = AF_INET };
    const char *colon = strrchr(text, ':');
    int length = colon == NULL ? 0 : (int)(colon - text);
    snprintf(host, sizeof(host), "%.*s", length, text);
    if (colon == NULL || inet_pton(AF_INET, host, &address.sin_addr) != 1) {
        die("%s is not an IPv4 HOST:PORT", text);
    }
    address.sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
    return address;
}

static void connection_open(struct engine *engine, struct connection *connection)
{
    const int one = 1;
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = connection };
    connection->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connection->fd == -1
        || connect(connection->fd, (struct sockaddr *)&engine->address, sizeof(engine->address))
               != 0
        || setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) != 0
        || fcntl(connection->fd, F_SETFL, O_NONBLOCK) != 0
        || epoll_ctl(engine->epoll, EPOLL_CTL_ADD, connection->fd, &event) != 0) {
        die("connect to %s: %s", engine->job->address, strerror(errno));
    }
    connection->received = 0;
    connection->answer_length = 0;
}

static void connection_lost(struct engine *engine, struct connection *connection)
{
    if (connection->waiting) {
        connection->waiting = false;
        engine->waiting--;
        engine->idle[engine->idle_count++] = connection;
        engine->job->on_loss(engine->job);
    }
}

static void connection_reopen(struct engine *engine, struct connection *connection)
{
    close(connection->fd);
    connection_open(engine, connection);
}

/* The socket's buffer is empty, as the answer before is complete, so one send() takes it all. */
static void send_request(struct engine *engine, struct connection *connection, int64_t due_ns)
{
    const struct job *job = engine->job;
    connection->text = table_at(job->texts, engine->next++);
    for (size_t i = 0; i < job->template.slot_count; i++) {
        const struct slot *slot = &job->template.slots[i];
        memcpy(connection->request + slot->at, connection->text + slot->from, slot->width);
    }
    connection->received = 0;
    connection->answer_length = 0;
    connection->waiting = true;
    connection->due_ns = due_ns;
    engine->waiting++;
    ssize_t sent = send(connection->fd, connection->request, job->template.length, MSG_NOSIGNAL);
    if (sent >= 0 && sent != (ssize_t)job->template.length) {
        die("send: cut short");
    }
    if (sent < 0 && errno != EPIPE && errno != ECONNRESET) { /* these two show when it is read */
        die("send: %s", strerror(errno));
    }
}

/* When the next request comes; INT64_MAX: there is none. */
static int64_t next_due_ns(const struct engine *engine, int64_t now)
{
    const struct job *job = engine->job;
    int64_t due_ns = job->interval_ns == 0
                       ? now
                       : engine->start_ns + (int64_t)(engine->next - job->first) * job->interval_ns;
    return engine->next < job->end && due_ns < engine->stop_ns ? due_ns : INT64_MAX;
}

static void send_due(struct engine *engine, int64_t now)
{
    int64_t due_ns = 0;
    while (engine->idle_count > 0 && (due_ns = next_due_ns(engine, now)) <= now) {
        send_request(engine, engine->idle[--engine->idle_count], due_ns);
    }
}

/* Status, Content-Length, whether to try again and whether the server closes, once the head is there. */
static void parse_head(struct connection *connection)
{
    char *head = connection->answer;
    head[connection->received] = '\0';
    char *end = strstr(head, "\r\n\r\n");
    if (end == NULL) {
        return;
    }
    *end = '\0';
    const char *length = strcasestr(head, "\r\ncontent-length:");
    if (strncmp(head, "HTTP/1.1 ", 9) != 0 || length == NULL) {
        die("not an answer with a Content-Length: %.200s", head);
    }
    connection->status = (int)strtoul(head + 9, NULL, 10);
    connection->body_start = (size_t)(end - head) + 4;
    connection->answer_length =
        connection->body_start + strtoul(length + strlen("\r\ncontent-length:"), NULL, 10);
    connection->may_retry = strcasestr(head, "\r\nretry-after: ") != NULL;
    connection->closes = strcasestr(head, "\r\nconnection: close") != NULL;
    if (connection->status < 100 || connection->status >= STATUS_MAX
        || connection->answer_length > ANSWER_MAX) {
        die("status %d, %zu bytes: not an answer to take", connection->status,
            connection->answer_length);
    }
}

static void finish_answer(struct engine *engine, struct connection *connection, int64_t now)
{
    const struct answer answer = { .text = connection->text,
                                   .status = connection->status,
                                   .may_retry = connection->may_retry,
                                   .body = connection->answer + connection->body_start,
                                   .took_ns = now - connection->due_ns,
                                   .in_time = now <= engine->stop_ns };
    connection->answer[connection->answer_length] = '\0';
    connection->waiting = false;
    engine->waiting--;
    engine->job->on_answer(engine->job, &answer);
    if (connection->closes) {
        connection_reopen(engine, connection);
    }
    engine->idle[engine->idle_count++] = connection;
    send_due(engine, now);
}

static void on_readable(struct engine *engine, struct connection *connection)
{
    ssize_t got = recv(connection->fd, connection->answer + connection->received,
                       ANSWER_MAX - connection->received, 0);
    if (got < 0 && errno == EAGAIN) {
        return;
    }
    if (got <= 0) {
        connection_lost(engine, connection);
        connection_reopen(engine, connection);
        send_due(engine, now_ns());
        return;
    }
    connection->received += (size_t)got;
    if (connection->answer_length == 0) {
        parse_head(connection);
    }
    if (!connection->waiting || connection->received == ANSWER_MAX
        || (connection->answer_length > 0 && connection->received > connection->answer_length)) {
        die("more bytes than an answer has");
    }
    if (connection->answer_length > 0 && connection->received == connection->answer_length) {
        finish_answer(engine, connection, now_ns());
    }
}

static void engine_open(struct engine *engine)
{
    const struct job *job = engine->job;
    engine->address = parse_address(job->address);
    engine->epoll = epoll_create1(EPOLL_CLOEXEC);
    engine->connections = allocate(job->connections, sizeof(struct connection));
    engine->idle = allocate(job->connections, sizeof(struct connection *));
    for (size_t i = 0; i < job->connections; i++) {
        memcpy(engine->connections[i].request, job->template.text, job->template.length);
        connection_open(engine, &engine->connections[i]);
        engine->idle[engine->idle_count++] = &engine->connections[i];
    }
}

static void engine_close(struct engine *engine)
{
    for (size_t i = 0; i < engine->job->connections; i++) {
        close(engine->connections[i].fd);
    }
    free(engine->connections);
    free(engine->idle);
    close(engine->epoll);
}

/* Until the next request comes, if there is a connection for it. */
static int wait_ms(const struct engine *engine, int64_t now)
{
    int64_t until_ns = engine->idle_count > 0 ? next_due_ns(engine, now) : INT64_MAX;
    int64_t silence_ns = now + SILENCE_MS * INT64_C(1000000);
    return (int)(((until_ns < silence_ns ? until_ns : silence_ns) - now + 999999) / 1000000);
}

/* Runs the job until its clock stops or all is sent, then until what is under way is answered.
 * Returns the time from the first request to the clock's end or the last answer, whichever came
 * first. */
static int64_t run_job(struct job *job)
{
    struct engine engine = { .job = job, .next = job->first, .stop_ns = INT64_MAX };
    struct epoll_event events[256];

    engine_open(&engine);
    int64_t now = now_ns();
    int64_t heard_ns = now;
    engine.start_ns = now;
    if (job->duration_ns > 0) {
        engine.stop_ns = now + job->duration_ns;
    }
    send_due(&engine, now);
    while (engine.waiting > 0 || next_due_ns(&engine, now) != INT64_MAX) {
        int count = epoll_wait(engine.epoll, events, 256, wait_ms(&engine, now));
        for (int i = 0; i < count; i++) {
            on_readable(&engine, events[i].data.ptr);
        }
        now = now_ns();
        if (count > 0 || engine.waiting == 0) {
            heard_ns = now;
        } else if (now - heard_ns >= SILENCE_MS * INT64_C(1000000)) {
            die("%zu requests without an answer for %d ms", engine.waiting, SILENCE_MS);
        }
        send_due(&engine, now);
    }
    engine_close(&engine);
    return (now < engine.stop_ns ? now : engine.stop_ns) - engine.start_ns;
}

/* load prepare */

struct options {
    const char *public_address;
    const char *admin_address;
    const char *secret_file;
    const char *out;
    const char *codes;
    const char *issuer;
    const char *refused;
    size_t count;
    size_t connections;
    double seconds;
    double rate; /* a second; 0: no rate */
    bool json;
};

/* The value of a string member whose name occurs once, and that needs no unescaping. */
static const char *json_string(const char *body, const char *name, size_t *length_out)
{
    char quoted[64];
    snprintf(quoted, sizeof(quoted), "\"%s\"", name);
    const char *value = strstr(body, quoted);
    if (value == NULL) {
        return NULL;
    }
    value += strlen(quoted);
    value += strspn(value, " :");
    if (*value++ != '"') {
        return NULL;
    }
    *length_out = strcspn(value, "\"");
    return value;
}

static void take_string(struct job *job, const struct answer *answer, int wanted, const char *name)
{
    size_t length = 0;
    const char *value = answer->status == wanted ? json_string(answer->body, name, &length) : NULL;
    if (value == NULL) {
        die("prepare: %.40s... answered %d: %.300s", job->template.text, answer->status,
            answer->body);
    }
    table_add(job->results, value, length);
}

static void take_id(struct job *job, const struct answer *answer)
{
    take_string(job, answer, 201, "id");
}

/* The id, and the nonce behind it. */
static void take_request(struct job *job, const struct answer *answer)
{
    char text[ID_WIDTH + NONCE_WIDTH];
    size_t length = 0;
    const char *id = answer->status == 201 ? json_string(answer->body, "id", &length) : NULL;
    if (id == NULL || length != ID_WIDTH) {
        die("validate: a request was answered %d: %.300s", answer->status, answer->body);
    }
    memcpy(text, id, ID_WIDTH);
    memcpy(text + ID_WIDTH, answer->text, NONCE_WIDTH);
    table_add(job->results, text, sizeof(text));
}

static void take_code(struct job *job, const struct answer *answer)
{
    take_string(job, answer, 200, "code");
}

static void refuse_loss(struct job *job)
{
    die("prepare: %s closed a connection instead of answering", job->address);
}

/* The parts that differ, and the length that follows from them. */
static void add_post(struct template *template, const char *path, const char *address,
                     const char *extra_head, const char *body)
{
    size_t body_length = 0;
    for (const char *c = body; *c != '\0'; c++) {
        body_length += *c == FIRST[0] ? template->first_width
                     : *c == REST[0]  ? template->rest_width
                                      : 1;
    }
    template_add(template,
                 "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\n%s"
                 "Content-Length: %zu\r\n\r\n%s",
                 path, address, extra_head, body_length, body);
}

static struct table make_nonces(size_t count)
{
    uint64_t run = 0;
    char text[NONCE_WIDTH + 1];
    struct table nonces = table_new(count);
    if (getrandom(&run, sizeof(run), 0) != (ssize_t)sizeof(run)) {
        die("no random bytes");
    }
    for (size_t i = 0; i < count; i++) {
        snprintf(text, sizeof(text), "bench-%016llx-%020zu", (unsigned long long)run, i);
        table_add(&nonces, text, NONCE_WIDTH);
    }
    return nonces;
}

typedef void take_fn(struct job *job, const struct answer *answer);

static struct table create(const struct options *options, const struct table *nonces, size_t first,
                           size_t end, take_fn *take)
{
    struct table ids = table_new(end - first);
    struct job job = { .address = options->public_address,
                       .template.first_width = nonces->width,
                       .texts = nonces,
                       .first = first,
                       .end = end,
                       .connections = options->connections,
                       .on_answer = take,
                       .on_loss = refuse_loss,
                       .results = &ids };
    add_post(&job.template, "/api/v1/authorizations", job.address, "",
             "{\"state\":\"" FIRST "\",\"nonce\":\"" FIRST "\"}");
    run_job(&job);
    return ids;
}

static void approve(const struct options *options, const struct table *ids, const char *secret,
                    struct table *codes)
{
    char secret_header[400];
    struct job job = { .address = options->admin_address,
                       .template.first_width = ids->width,
                       .texts = ids,
                       .end = ids->count,
                       .connections = options->connections,
                       .on_answer = take_code,
                       .on_loss = refuse_loss,
                       .results = codes };
    snprintf(secret_header, sizeof(secret_header), "x-client-secret: %s\r\n", secret);
    add_post(&job.template, "/api/v1/authorizations/" FIRST "/approve", job.address, secret_header,
             "{\"holder_did\":\"did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK\"}");
    run_job(&job);
}

static void read_line(const char *path, char *line, size_t size)
{
    FILE *file = fopen(path, "re");
    if (file == NULL || fgets(line, (int)size, file) == NULL) {
        die("cannot read %s", path);
    }
    fclose(file);
    line[strcspn(line, "\n")] = '\0';
}

static void write_codes(const char *path, const struct table *codes)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    FILE *file = fd == -1 ? NULL : fdopen(fd, "w");
    if (file == NULL) {
        die("cannot write %s: %s", path, strerror(errno));
    }
    for (size_t i = 0; i < codes->count; i++) {
        fprintf(file, "%.*s\n", (int)codes->width, table_at(codes, i));
    }
    if (fclose(file) != 0) {
        die("cannot write %s: %s", path, strerror(errno));
    }
}

static int prepare(const struct options *options)
{
    char secret[300];
    struct table nonces = make_nonces(options->count);
    struct table codes = table_new(options->count);

    read_line(options->secret_file, secret, sizeof(secret));
    for (size_t first = 0; first < options->count; first += CHUNK) {
        size_t end = first + CHUNK < options->count ? first + CHUNK : options->count;
        struct table ids = create(options, &nonces, first, end, take_id);
        approve(options, &ids, secret, &codes);
        free(ids.text);
    }
    write_codes(options->out, &codes);
    printf("codes=%zu\n", codes.count);
    free(nonces.text);
    free(codes.text);
    return 0;
}

/* load run */

struct latencies {
    int64_t *ns;
    size_t count;
};

struct tally {
    int wanted;                  /* 201 or 200 */
    struct latencies good;       /* the wanted answers that came in time */
    struct latencies refusals;   /* 503 with Retry-After, if they are kept */
    size_t statuses[STATUS_MAX]; /* all other answers, whenever they came */
    size_t others;
    size_t lost;
};

static void count_answer(struct job *job, const struct answer *answer)
{
    struct tally *tally = job->tally;
    if (answer->status == tally->wanted) {
        if (answer->in_time) {
            tally->good.ns[tally->good.count++] = answer->took_ns;
        }
    } else if (answer->status == 503 && answer->may_retry && job->results != NULL) {
        tally->refusals.ns[tally->refusals.count++] = answer->took_ns;
        table_add(job->results, answer->text, job->texts->width);
    } else {
        tally->statuses[answer->status]++;
        tally->others++;
    }
}

static void count_loss(struct job *job)
{
    job->tally->lost++;
}

static struct table read_codes(const char *path, size_t count_max)
{
    char line[WIDTH_MAX + 2];
    size_t capacity = 0;
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        die("cannot read %s: %s", path, strerror(errno));
    }
    while (fgets(line, sizeof(line), file) != NULL) {
        capacity++;
    }
    rewind(file);
    struct table codes = table_new(capacity);
    while (codes.count < count_max && fgets(line, sizeof(line), file) != NULL) {
        table_add(&codes, line, strcspn(line, "\n"));
    }
    fclose(file);
    if (codes.count == 0) {
        die("no codes in %s", path);
    }
    return codes;
}

static int compare_latencies(const void *a, const void *b)
{
    int64_t left = *(const int64_t *)a;
    int64_t right = *(const int64_t *)b;
    return (left > right) - (left < right);
}

static void sort(struct latencies *latencies)
{
    qsort(latencies->ns, latencies->count, sizeof(int64_t), compare_latencies);
}

static double percentile_ms(const struct latencies *latencies, size_t percent)
{
    return latencies->count == 0
             ? 0.0
             : (double)latencies->ns[(latencies->count - 1) * percent / 100] / 1e6;
}

static double cpu_us(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6
         + (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

/* One line: name=value pairs, or the same as a JSON object. */
static void print_field(bool json, const char *name, double value, int decimals)
{
    static bool is_first = true;
    const char *before = json ? ", \"" : " ";
    printf("%s%s%s%.*f", is_first ? (json ? "{\"" : "") : before, name, json ? "\": " : "=",
           decimals, value);
    is_first = false;
}

static void print_refusals(bool json, const struct latencies *refusals)
{
    print_field(json, "refused", (double)refusals->count, 0);
    print_field(json, "refused_p50_ms", percentile_ms(refusals, 50), 3);
    print_field(json, "refused_p99_ms", percentile_ms(refusals, 99), 3);
    print_field(json, "refused_max_ms", percentile_ms(refusals, 100), 3);
}

static void print_results(const struct options *options, const struct tally *tally,
                          int64_t elapsed_ns, bool ran_out, double load_cpu_us)
{
    const bool json = options->json;
    const double seconds = (double)elapsed_ns / 1e9;
    const double good = (double)tally->good.count;
    const bool is_run = tally->wanted == 201;
    char name[16];

    print_field(json, "connections", (double)options->connections, 0);
    print_field(json, "seconds", seconds, 3);
    print_field(json, is_run ? "tokens" : "validations", good, 0);
    print_field(json, is_run ? "tokens_per_s" : "validations_per_s", good / seconds, 1);
    print_field(json, "p50_ms", percentile_ms(&tally->good, 50), 3);
    print_field(json, "p99_ms", percentile_ms(&tally->good, 99), 3);
    print_field(json, "max_ms", percentile_ms(&tally->good, 100), 3);
    if (options->refused != NULL) {
        print_refusals(json, &tally->refusals);
    }
    print_field(json, "load_cpu_us", good > 0 ? load_cpu_us / good : 0.0, 1);
    print_field(json, "ran_out", ran_out ? 1.0 : 0.0, 0);
    print_field(json, "lost", (double)tally->lost, 0);
    print_field(json, "other", (double)tally->others, 0);
    for (int status = 0; status < STATUS_MAX; status++) {
        if (tally->statuses[status] > 0) {
            snprintf(name, sizeof(name), "status_%d", status);
            print_field(json, name, (double)tally->statuses[status], 0);
        }
    }
    puts(json ? "}" : "");
}

/* Sends the texts until the clock stops or they are all sent, and says what came of it. */
static int measure(const struct options *options, struct job *job, const char *texts)
{
    struct tally *tally = job->tally;
    const size_t count = job->texts->count;

    tally->good.ns = allocate(count, sizeof(int64_t));
    tally->refusals.ns = allocate(count, sizeof(int64_t));
    job->address = options->public_address;
    job->end = count;
    job->connections = options->connections;
    job->duration_ns = (int64_t)(options->seconds * 1e9);
    job->interval_ns = options->rate > 0 ? (int64_t)(1e9 / options->rate) : 0;
    job->on_answer = count_answer;
    job->on_loss = count_loss;

    double cpu_before_us = cpu_us();
    int64_t elapsed_ns = run_job(job);
    double load_cpu_us = cpu_us() - cpu_before_us;
    bool ran_out = options->count == 0 && elapsed_ns < job->duration_ns;
    if (ran_out) {
        fprintf(stderr, "load: the %s ran out after %.3f s\n", texts, (double)elapsed_ns / 1e9);
    }
    sort(&tally->good);
    sort(&tally->refusals);
    print_results(options, tally, elapsed_ns, ran_out, load_cpu_us);
    free(tally->good.ns);
    free(tally->refusals.ns);
    return tally->others == 0 && tally->lost == 0 ? 0 : 1;
}

static int run(const struct options *options)
{
    struct table codes = read_codes(options->codes, options->count > 0 ? options->count : SIZE_MAX);
    struct table refused = table_new(codes.count);
    struct tally tally = { .wanted = 201 };
    struct job job = { .template.first_width = codes.width,
                       .texts = &codes,
                       .results = options->refused != NULL ? &refused : NULL,
                       .tally = &tally };

    add_post(&job.template, "/api/v1/tokens", options->public_address, "",
             "{\"authorization_code\":\"" FIRST "\"}");
    int status = measure(options, &job, "codes");
    if (options->refused != NULL) {
        write_codes(options->refused, &refused);
    }
    free(refused.text);
    free(codes.text);
    return status;
}

/* load validate */

/* What a wallet does before it sends: not measured. */
static struct table present(const struct options *options, const struct table *nonces)
{
    struct table bodies = table_new(nonces->count);
    struct table requests = create(options, nonces, 0, nonces->count, take_request);
    struct holder holder = holder_new("ES256");
    char text[WIDTH_MAX];

    for (size_t i = 0; i < requests.count; i++) {
        const char *id = table_at(&requests, i);
        const char *nonce = id + ID_WIDTH;
        char *vp =
            holder_sign(&holder,
                        "{\"iss\":\"%s\",\"aud\":\"%s\",\"nonce\":\"%.*s\",\"iat\":%lld,"
                        "\"vp\":{\"type\":[\"VerifiablePresentation\"]}}",
                        holder.did, options->issuer, NONCE_WIDTH, nonce, (long long)time(NULL));
        int length = snprintf(text, sizeof(text),
                              "%.*s{\"vp\":\"%s\",\"state\":\"%.*s\",\"nonce\":\"%.*s\"}", ID_WIDTH,
                              id, vp, NONCE_WIDTH, nonce, NONCE_WIDTH, nonce);
        table_add(&bodies, text, (size_t)length);
        free(vp);
    }
    holder_clear(&holder);
    free(requests.text);
    return bodies;
}

static int validate(const struct options *options)
{
    struct table nonces = make_nonces(options->count);
    struct table bodies = present(options, &nonces);
    struct tally tally = { .wanted = 200 };
    struct job job = { .template.first_width = ID_WIDTH,
                       .template.rest_width = bodies.width - ID_WIDTH,
                       .texts = &bodies,
                       .tally = &tally };

    add_post(&job.template, "/api/v1/authorizations/" FIRST "/validate", options->public_address,
             "", REST);
    int status = measure(options, &job, "presentations");
    free(bodies.text);
    free(nonces.text);
    return status;
}

static _Noreturn void usage(void)
{
    fputs("usage: load prepare --public HOST:PORT --admin HOST:PORT --secret-file FILE --count N\n"
          "                    --connections C --out FILE\n"
          "       load run --public HOST:PORT --codes FILE --connections C\n"
          "                [--seconds S] [--count N] [--rate N] [--refused FILE] [--json]\n"
          "       load validate --public HOST:PORT --issuer URL --count N --connections C\n"
          "                [--seconds S] [--json]\n",
          stderr);
    exit(2);
}

static struct options parse_options(int argc, char **argv)
{
    static const struct option known[] = {
        { "public", required_argument, NULL, 'p' },
        { "admin", required_argument, NULL, 'a' },
        { "secret-file", required_argument, NULL, 'f' },
        { "out", required_argument, NULL, 'o' },
        { "codes", required_argument, NULL, 'k' },
        { "count", required_argument, NULL, 'n' },
        { "connections", required_argument, NULL, 'c' },
        { "seconds", required_argument, NULL, 's' },
        { "rate", required_argument, NULL, 'r' },
        { "refused", required_argument, NULL, 'x' },
        { "issuer", required_argument, NULL, 'i' },
        { "json", no_argument, NULL, 'j' },
        { NULL, 0, NULL, 0 },
    };
    struct options options = { .connections = 1 };
    int option;
    while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
        switch (option) {
        case 'p':
            options.public_address = optarg;
            break;
        case 'a':
            options.admin_address = optarg;
            break;
        case 'f':
            options.secret_file = optarg;
            break;
        case 'o':
            options.out = optarg;
            break;
        case 'k':
            options.codes = optarg;
            break;
        case 'n':
            options.count = strtoul(optarg, NULL, 10);
            break;
        case 'c':
            options.connections = strtoul(optarg, NULL, 10);
            break;
        case 's':
            options.seconds = strtod(optarg, NULL);
            break;
        case 'r':
            options.rate = strtod(optarg, NULL);
            break;
        case 'x':
            options.refused = optarg;
            break;
        case 'i':
            options.issuer = optarg;
            break;
        case 'j':
            options.json = true;
            break;
        default:
            usage();
        }
    }
    if (optind != argc || options.public_address == NULL || options.connections < 1
        || options.connections > CONNECTIONS_MAX || options.seconds < 0 || options.rate < 0) {
        usage();
    }
    return options;
}

int main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "";
    if (argc < 2) {
        usage();
    }
    struct options options = parse_options(argc - 1, argv + 1);
    if (strcmp(mode, "prepare") == 0 && options.admin_address != NULL && options.count > 0
        && options.secret_file != NULL && options.out != NULL) {
        return prepare(&options);
    }
    if (strcmp(mode, "run") == 0 && options.codes != NULL) {
        return run(&options);
    }
    if (strcmp(mode, "validate") == 0 && options.issuer != NULL && options.count > 0) {
        return validate(&options);
    }
    usage();
}
