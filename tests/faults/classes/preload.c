/* Trouble on command, preloaded into a daemon: writes and syncs of one folder fail or take long, those of another hang,
   the wall clock is off. The orders stand in a file that is mapped into both processes; see preload.rs.

   And a platter: what a disk would have of the database. A sync that succeeds puts on it the blocks that were written since
   the last one. A sync that fails takes them for clean, as the kernel does: they are in the file, and never on the platter
   unless they are written again. Which blocks are dirty is told by a file too, as the kernel outlives the daemon. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

struct orders {
    int32_t write_error;
    int32_t sync_error;
    int32_t sync_millis;
    int32_t acted;
    int64_t clock_millis;
    int32_t exports_hang;
    int32_t flush_error;
};

enum { BLOCK = 4096, BLOCKS = 1 << 18 };

static volatile struct orders none;
static volatile struct orders *orders = &none;
static const char *folder, *exports;
static unsigned char *dirty;
static int platter = -1;

static void *mapped(const char *path, size_t length) {
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0) return NULL;
    void *bytes = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    return bytes == MAP_FAILED ? NULL : bytes;
}

__attribute__((constructor)) static void begin(void) {
    folder = getenv("TROUBLE_FOLDER");
    exports = getenv("TROUBLE_EXPORTS");
    void *told = folder ? mapped(getenv("TROUBLE_ORDERS"), sizeof(struct orders)) : NULL;
    if (!told) return;
    orders = told;
    dirty = mapped(getenv("TROUBLE_DIRTY"), BLOCKS);
    const char *path = getenv("TROUBLE_PLATTER");
    if (dirty && path) platter = open(path, O_RDWR | O_CLOEXEC);
}

/* What a descriptor leads to. */
static int leads(int fd, char *path, size_t room) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, room - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return 1;
}

static int below(int fd, const char *folder) {
    char path[4096];
    size_t length = folder ? strlen(folder) : 0;
    return length && leads(fd, path, sizeof path) && strncmp(path, folder, length) == 0 && path[length] == '/';
}

static int ours(int fd) { return below(fd, folder); }

static int database(int fd) {
    char path[4096];
    if (platter < 0 || !leads(fd, path, sizeof path)) return 0;
    size_t length = strlen(path), own = strlen(folder);
    return strncmp(path, folder, own) == 0 && strcmp(path + own, "/sled/db") == 0 && length > own;
}

static void hang(int fd) {
    if (!orders->exports_hang || !below(fd, exports)) return;
    __sync_fetch_and_add(&orders->acted, 1);
    while (orders->exports_hang) usleep(10000);
}

/* After a sync: what was written since the last one is on the platter, or will never be. */
static void settle(int fd, int failed) {
    if (!database(fd)) return;
    struct stat now;
    if (!failed && fstat(fd, &now) == 0 && syscall(SYS_ftruncate, platter, now.st_size) < 0) abort();
    for (size_t at = 0; at < BLOCKS; at++) {
        if (!__atomic_load_n(&dirty[at], __ATOMIC_SEQ_CST)) continue;
        __atomic_store_n(&dirty[at], 0, __ATOMIC_SEQ_CST);
        if (failed) continue;
        char bytes[BLOCK];
        ssize_t read = syscall(SYS_pread64, fd, bytes, BLOCK, (off64_t)at * BLOCK);
        if (read > 0 && syscall(SYS_pwrite64, platter, bytes, read, (off64_t)at * BLOCK) != read) abort();
    }
}

static int fails(int error, int fd) {
    if (!error || !ours(fd)) return 0;
    __sync_fetch_and_add(&orders->acted, 1);
    errno = error;
    return 1;
}

static void *next(const char *name) { return dlsym(RTLD_NEXT, name); }

ssize_t write(int fd, const void *bytes, size_t count) {
    hang(fd);
    if (fails(orders->write_error, fd)) return -1;
    return syscall(SYS_write, fd, bytes, count);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at) {
    static ssize_t (*real)(int, const void *, size_t, off64_t);
    if (!real) real = next("pwrite64");
    if (fails(orders->write_error, fd)) return -1;
    ssize_t written = real(fd, bytes, count, at);
    if (written > 0 && database(fd))
        for (off64_t block = at / BLOCK; block <= (at + written - 1) / BLOCK && block < BLOCKS; block++)
            __atomic_store_n(&dirty[block], 1, __ATOMIC_SEQ_CST);
    return written;
}

int ftruncate64(int fd, off64_t length) {
    static int (*real)(int, off64_t);
    if (!real) real = next("ftruncate64");
    struct stat now;
    /* Making a file shorter needs no room. */
    if (orders->write_error && fstat(fd, &now) == 0 && length > now.st_size && fails(orders->write_error, fd)) return -1;
    return real(fd, length);
}

static int sync_fails(int fd) {
    if (orders->sync_millis && ours(fd)) {
        __sync_fetch_and_add(&orders->acted, 1);
        usleep((useconds_t)orders->sync_millis * 1000);
    }
    return fails(orders->sync_error ? orders->sync_error : orders->flush_error, fd);
}

static int synced(int fd, int (*real)(int)) {
    hang(fd);
    int answer = sync_fails(fd) ? -1 : real(fd), error = errno;
    settle(fd, answer);
    errno = error;
    return answer;
}

int fsync(int fd) {
    static int (*real)(int);
    if (!real) real = next("fsync");
    return synced(fd, real);
}

int fdatasync(int fd) {
    static int (*real)(int);
    if (!real) real = next("fdatasync");
    return synced(fd, real);
}

int sync_file_range(int fd, off64_t at, off64_t count, unsigned flags) {
    static int (*real)(int, off64_t, off64_t, unsigned);
    if (!real) real = next("sync_file_range");
    if (!fails(orders->sync_error, fd)) return real(fd, at, count, flags);
    settle(fd, -1);
    errno = orders->sync_error ? orders->sync_error : EIO;
    return -1;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = next("clock_gettime");
    int failed = real(clock, now);
    int64_t off = orders->clock_millis;
    if (!failed && off && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
        __sync_fetch_and_add(&orders->acted, 1);
        now->tv_sec += off / 1000;
        now->tv_nsec += off % 1000 * 1000000;
        if (now->tv_nsec < 0) now->tv_sec--, now->tv_nsec += 1000000000;
        if (now->tv_nsec >= 1000000000) now->tv_sec++, now->tv_nsec -= 1000000000;
    }
    return failed;
}
