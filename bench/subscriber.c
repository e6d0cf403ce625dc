/* The limit that the hub's ingest is measured against: MQTT 5 over mutual TLS into SQLite, and nothing else.
 *
 * Takes what came until nothing more waits, commits with synchronous=FULL, then acknowledges all of it in one write. No
 * signature is verified, nothing is judged, folded or receipted. Built by `make bench-ingest`; prints "ready", and then
 * messages, seconds from the first message to the last commit, seconds of CPU in between. With a fourth file it writes
 * there, for each message, its last eight bytes and the nanoseconds of CLOCK_MONOTONIC after its commit.
 *
 *     subscriber PORT CA PEM DATABASE COUNT [TIMES]
 */
#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <netinet/tcp.h>
#include <sqlite3.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define OPEN_MAX_ 500
#define BUFFER (4 << 20)

static void die(const char *what) { fprintf(stderr, "subscriber: %s\n", what); exit(1); }

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static double cpu_s(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return u.ru_utime.tv_sec + u.ru_stime.tv_sec + (u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void run(sqlite3 *db, const char *sql) {
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK) die(sqlite3_errmsg(db));
}

static SSL *connected(int port, const char *ca, const char *pem, int *fd) {
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    if (SSL_CTX_load_verify_locations(context, ca, NULL) != 1) die("no CA");
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    if (SSL_CTX_use_certificate_chain_file(context, pem) != 1) die("no certificate");
    if (SSL_CTX_use_PrivateKey_file(context, pem, SSL_FILETYPE_PEM) != 1) die("no key");
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    *fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(*fd, (struct sockaddr *)&to, sizeof to) != 0) die("no broker");
    int one = 1;
    setsockopt(*fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    SSL *tls = SSL_new(context);
    SSL_set_fd(tls, *fd);
    if (SSL_connect(tls) != 1) die("no TLS");
    return tls;
}

/* A whole packet at `at`: its length, 0 when there is none yet. `body` is where its body begins. */
static size_t packet(const uint8_t *at, size_t have, size_t *body) {
    size_t length = 0;
    for (size_t n = 1, shift = 0; n < have && n < 5; n++, shift += 7) {
        length |= (size_t)(at[n] & 127) << shift;
        if (at[n] < 128) {
            *body = n + 1;
            return have >= n + 1 + length ? n + 1 + length : 0;
        }
    }
    return 0;
}

int main(int argc, char **argv) {
    if (argc < 6) die("PORT CA PEM DATABASE COUNT [TIMES]");
    long count = atol(argv[5]), taken = 0;
    FILE *times = argc > 6 ? fopen(argv[6], "wb") : NULL;
    sqlite3 *db;
    sqlite3_stmt *insert;
    if (sqlite3_open(argv[4], &db) != SQLITE_OK) die("no database");
    run(db, "pragma journal_mode=wal");
    run(db, "pragma synchronous=full");
    run(db, "create table if not exists got (id integer primary key, topic text not null, data blob not null)");
    if (sqlite3_prepare_v2(db, "insert into got (topic, data) values (?, ?)", -1, &insert, NULL) != SQLITE_OK) die("sql");
    int fd;
    SSL *tls = connected(atoi(argv[1]), argv[2], argv[3], &fd);
    /* CONNECT: session kept for an hour, 500 messages open with us; SUBSCRIBE to every terminal. */
    static const uint8_t hello[] = "\x10\x1f\x00\x04MQTT\x05\x00\x00\x3c\x08\x11\x00\x00\x0e\x10\x21\x01\xf4\x00\x0ahub-ingest";
    static const uint8_t wish[] = "\x82\x16\x00\x01\x00\x00\x10tandem/v1/+/up/#\x01";
    if (SSL_write(tls, hello, sizeof hello - 1) <= 0 || SSL_write(tls, wish, sizeof wish - 1) <= 0) die("cut");

    uint8_t *buffer = malloc(BUFFER), acks[OPEN_MAX_ * 4];
    uint64_t keys[OPEN_MAX_];
    size_t have = 0, open = 0;
    int64_t began = 0;
    double cpu_began = 0;
    while (1) {
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        int is_more = SSL_pending(tls) > 0 || poll(&ready, 1, open ? 0 : 30000) > 0;
        if (!is_more && !open) die("nothing came for 30 s");
        if (is_more && open < OPEN_MAX_) {
            int got = SSL_read(tls, buffer + have, BUFFER - have);
            if (got <= 0) die("cut");
            have += got;
            size_t used = 0, body = 0, length;
            while (open < OPEN_MAX_ && (length = packet(buffer + used, have - used, &body)) > 0) {
                const uint8_t *start = buffer + used, *end = start + length, *at = start + body;
                used += length;
                if (start[0] >> 4 == 9) {
                    puts("ready");
                    fflush(stdout);
                    if (count == 0) return 0; /* only the session is wanted */
                }
                if (start[0] >> 4 != 3) continue;
                if (!began) began = now_ns(), cpu_began = cpu_s();
                if (!open) run(db, "begin immediate");
                size_t topic = at[0] << 8 | at[1];
                const uint8_t *mid = at + 2 + topic, *data = mid + 2;
                data += 1 + data[0]; /* properties of less than 128 bytes */
                sqlite3_bind_text(insert, 1, (const char *)at + 2, topic, SQLITE_STATIC);
                sqlite3_bind_blob(insert, 2, data, end - data, SQLITE_STATIC);
                if (sqlite3_step(insert) != SQLITE_DONE) die(sqlite3_errmsg(db));
                sqlite3_reset(insert);
                memcpy(acks + 4 * open, "\x40\x02", 2);
                memcpy(acks + 4 * open + 2, mid, 2);
                memcpy(&keys[open++], end - 8, 8);
            }
            memmove(buffer, buffer + used, have - used);
            have -= used;
            continue;
        }
        run(db, "commit");
        int64_t done = now_ns();
        if (SSL_write(tls, acks, 4 * open) <= 0) die("cut");
        for (size_t n = 0; times && n < open; n++) fwrite(&keys[n], 8, 1, times), fwrite(&done, 8, 1, times);
        taken += open;
        open = 0;
        if (taken >= count) {
            printf("%ld %.6f %.6f\n", taken, (done - began) / 1e9, cpu_s() - cpu_began);
            if (times) fclose(times);
            SSL_write(tls, "\xe0\x00", 2);
            usleep(50000); /* the broker reads the acknowledgements before it sees the end */
            return 0;
        }
    }
}
