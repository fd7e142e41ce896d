/* The physical limit of a cold scan: every blob read once, digested, inflated, and its content
 * digested, with the fastest libraries and nothing else. Blobs are shared out, largest first, over
 * the processes asked for.
 *
 *   limit [-p PROCESSES] [-m MODE] [-i INPUT_KIB] [-o OUTPUT_KIB] BLOB...
 *
 * MODE: any of r (read), s (digest of the blob), i (inflate), d (digest of the content); "sid" is
 * the whole. Prints one line of JSON: wall and CPU seconds, bytes in and out, and the digests.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <isa-l/igzip_lib.h>
#include <openssl/evp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <zstd.h>

enum { MAXIMUM_BLOBS = 1024 };

struct blob {
    const char *path;
    off_t size;
    uint64_t out;
    unsigned char digest[32], diff_id[32];
};

struct shared {
    int next;
    struct blob blobs[MAXIMUM_BLOBS];
};

struct settings {
    int digest_blob, inflate, digest_content;
    size_t input, output;
};

static void fail(const char *what, const char *path) {
    fprintf(stderr, "limit: %s: %s\n", path, what);
    exit(2);
}

struct pass {
    const struct settings *settings;
    struct blob *blob;
    int file;
    unsigned char *input, *output;
    EVP_MD_CTX *of_blob, *of_content;
};

static size_t next_chunk(struct pass *pass) {
    ssize_t count = read(pass->file, pass->input, pass->settings->input);
    if (count < 0) fail("read error", pass->blob->path);
    if (pass->settings->digest_blob) EVP_DigestUpdate(pass->of_blob, pass->input, count);
    return count;
}

static void give(struct pass *pass, size_t count) {
    pass->blob->out += count;
    if (pass->settings->digest_content) EVP_DigestUpdate(pass->of_content, pass->output, count);
}

static void inflate_gzip(struct pass *pass, size_t first) {
    struct inflate_state state;
    isal_inflate_init(&state);
    state.crc_flag = ISAL_GZIP;
    state.next_in = pass->input;
    state.avail_in = first;
    for (;;) {
        state.next_out = pass->output;
        state.avail_out = pass->settings->output;
        if (isal_inflate(&state) != ISAL_DECOMP_OK) fail("damaged gzip", pass->blob->path);
        give(pass, pass->settings->output - state.avail_out);
        int ended = state.block_state == ISAL_BLOCK_FINISH;
        if (state.avail_in == 0 && (ended || state.avail_out != 0)) {
            size_t count = next_chunk(pass);
            if (count == 0 && ended) return;
            if (count == 0) fail("cut short", pass->blob->path);
            state.next_in = pass->input;
            state.avail_in = count;
        }
        if (ended) isal_inflate_reset(&state);
    }
}

static void inflate_zstd(struct pass *pass, size_t first) {
    ZSTD_DCtx *context = ZSTD_createDCtx();
    ZSTD_inBuffer in = {pass->input, first, 0};
    int whole = 0;
    for (;;) {
        ZSTD_outBuffer out = {pass->output, pass->settings->output, 0};
        size_t before = in.pos;
        size_t left = ZSTD_decompressStream(context, &out, &in);
        if (ZSTD_isError(left)) fail("damaged zstd", pass->blob->path);
        give(pass, out.pos);
        /* A call after the end of a frame asks for the next one's header, though there may be none. */
        if (left == 0) whole = 1;
        else if (in.pos != before || out.pos) whole = 0;
        if (in.pos == in.size && out.pos < out.size) {
            in.size = next_chunk(pass);
            in.pos = 0;
            if (in.size == 0 && !whole) fail("cut short", pass->blob->path);
            if (in.size == 0) break;
        }
    }
    ZSTD_freeDCtx(context);
}

static void run(struct pass *pass) {
    pass->blob->out = 0;
    pass->file = open(pass->blob->path, O_RDONLY);
    if (pass->file < 0) fail("cannot open", pass->blob->path);
    EVP_DigestInit_ex(pass->of_blob, EVP_sha256(), NULL);
    EVP_DigestInit_ex(pass->of_content, EVP_sha256(), NULL);
    size_t count = next_chunk(pass);
    if (!pass->settings->inflate) {
        while (count) count = next_chunk(pass);
    } else if (count >= 2 && pass->input[0] == 0x1f && pass->input[1] == 0x8b) {
        inflate_gzip(pass, count);
    } else {
        inflate_zstd(pass, count);
    }
    EVP_DigestFinal_ex(pass->of_blob, pass->blob->digest, NULL);
    EVP_DigestFinal_ex(pass->of_content, pass->blob->diff_id, NULL);
    close(pass->file);
}

static void work(struct shared *shared, int count, const struct settings *settings) {
    struct pass pass = {.settings = settings};
    pass.input = aligned_alloc(4096, settings->input);
    pass.output = aligned_alloc(4096, settings->output);
    pass.of_blob = EVP_MD_CTX_new();
    pass.of_content = EVP_MD_CTX_new();
    int index;
    while ((index = __atomic_fetch_add(&shared->next, 1, __ATOMIC_RELAXED)) < count) {
        pass.blob = &shared->blobs[index];
        run(&pass);
    }
}

static int larger_first(const void *a, const void *b) {
    off_t left = ((const struct blob *)a)->size, right = ((const struct blob *)b)->size;
    return left < right ? 1 : left > right ? -1 : 0;
}

static double seconds(struct timeval time) { return time.tv_sec + time.tv_usec / 1e6; }

static double processor_seconds(void) {
    struct rusage self, children;
    getrusage(RUSAGE_SELF, &self);
    getrusage(RUSAGE_CHILDREN, &children);
    return seconds(self.ru_utime) + seconds(self.ru_stime) + seconds(children.ru_utime) +
           seconds(children.ru_stime);
}

static void print_digest(const unsigned char *digest) {
    for (int byte = 0; byte < 32; byte++) printf("%02x", digest[byte]);
}

static void report(const struct shared *shared, int count, double wall) {
    uint64_t in = 0, out = 0;
    for (int index = 0; index < count; index++) {
        in += shared->blobs[index].size;
        out += shared->blobs[index].out;
    }
    printf("{\"wall\": %.4f, \"cpu\": %.4f, \"bytes_in\": %llu, \"bytes_out\": %llu, \"diff_ids\": [", wall,
           processor_seconds(), (unsigned long long)in, (unsigned long long)out);
    for (int index = 0; index < count; index++) {
        printf(index ? ", \"" : "\"");
        print_digest(shared->blobs[index].diff_id);
        printf("\"");
    }
    printf("]}\n");
}

int main(int argc, char **argv) {
    int processes = 1, option;
    const char *mode = "sid";
    struct settings settings = {.input = 256 << 10, .output = 128 << 10};
    while ((option = getopt(argc, argv, "p:m:i:o:")) != -1) {
        if (option == 'p') processes = atoi(optarg);
        else if (option == 'm') mode = optarg;
        else if (option == 'i') settings.input = (size_t)atoi(optarg) << 10;
        else if (option == 'o') settings.output = (size_t)atoi(optarg) << 10;
        else return 2;
    }
    settings.digest_blob = strchr(mode, 's') != NULL;
    settings.inflate = strchr(mode, 'i') != NULL;
    settings.digest_content = strchr(mode, 'd') != NULL;
    int count = argc - optind;
    if (count < 1 || count > MAXIMUM_BLOBS || processes < 1) return 2;
    struct shared *shared =
        mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    for (int index = 0; index < count; index++) {
        struct stat status;
        if (stat(argv[optind + index], &status)) fail("not found", argv[optind + index]);
        shared->blobs[index] = (struct blob){.path = argv[optind + index], .size = status.st_size};
    }
    qsort(shared->blobs, count, sizeof *shared->blobs, larger_first);
    struct timespec start, end;
    clock_gettime(CLOCK_MONOTONIC, &start);
    for (int child = 1; child < processes; child++)
        if (fork() == 0) {
            work(shared, count, &settings);
            _exit(0);
        }
    work(shared, count, &settings);
    int status, bad = 0;
    while (wait(&status) > 0) bad |= status;
    clock_gettime(CLOCK_MONOTONIC, &end);
    if (bad) return 2;
    report(shared, count, (end.tv_sec - start.tv_sec) + (end.tv_nsec - start.tv_nsec) / 1e9);
    return 0;
}
