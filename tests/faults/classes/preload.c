/* Trouble on command, preloaded into a daemon: writes and syncs of one folder fail or take long, the wall clock is
   off. The orders stand in a file that is mapped into both processes; see preload.rs. */
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
};

static volatile struct orders none;
static volatile struct orders *orders = &none;
static const char *folder;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("TROUBLE_ORDERS");
    folder = getenv("TROUBLE_FOLDER");
    int fd = path && folder ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0) return;
    void *mapped = mmap(NULL, sizeof(struct orders), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (mapped != MAP_FAILED) orders = mapped;
}

static int ours(int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return strncmp(path, folder, strlen(folder)) == 0;
}

static int fails(int error, int fd) {
    if (!error || !ours(fd)) return 0;
    __sync_fetch_and_add(&orders->acted, 1);
    errno = error;
    return 1;
}

static void *next(const char *name) { return dlsym(RTLD_NEXT, name); }

ssize_t write(int fd, const void *bytes, size_t count) {
    if (fails(orders->write_error, fd)) return -1;
    return syscall(SYS_write, fd, bytes, count);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at) {
    static ssize_t (*real)(int, const void *, size_t, off64_t);
    if (!real) real = next("pwrite64");
    if (fails(orders->write_error, fd)) return -1;
    return real(fd, bytes, count, at);
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
    return fails(orders->sync_error, fd);
}

int fsync(int fd) {
    static int (*real)(int);
    if (!real) real = next("fsync");
    return sync_fails(fd) ? -1 : real(fd);
}

int fdatasync(int fd) {
    static int (*real)(int);
    if (!real) real = next("fdatasync");
    return sync_fails(fd) ? -1 : real(fd);
}

int sync_file_range(int fd, off64_t at, off64_t count, unsigned flags) {
    static int (*real)(int, off64_t, off64_t, unsigned);
    if (!real) real = next("sync_file_range");
    return fails(orders->sync_error, fd) ? -1 : real(fd, at, count, flags);
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
