/* Logs what a program does to the files below one directory, to be replayed up to a power cut.
 *
 * Preloaded (LD_PRELOAD) into the program under test. Environment:
 *   POWERLOG_DIR   the directory, absolute and without symbolic links
 *   POWERLOG_FILE  the log, outside of that directory
 *   POWERLOG_FULL  optional: after so many bytes the disk is "full" (ENOSPC)
 *
 * A record: u8 kind, u32 file, u64 offset, u32 length, then `length` bytes; little-endian.
 * Kinds are the letters below. A file is named by 'p' before its first other record.
 * One lock around each call and its record keeps the log in the order of the calls.
 *
 * The program must reach the kernel through libc: raw system calls are not seen. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum kind {
    PATH = 'p',     /* bytes: path of the file or directory */
    WRITE = 'w',    /* offset, bytes */
    SYNC = 's',     /* fsync, fdatasync */
    RANGE = 'r',    /* sync_file_range: offset, bytes: u64 length */
    TRUNCATE = 't', /* offset: new length */
    CREATE = 'c',   /* bytes: path */
    MKDIR = 'd',    /* bytes: path */
    RENAME = 'm',   /* bytes: from, NUL, to */
    UNLINK = 'u',   /* bytes: path */
    ACK = 'a',      /* bytes: what was written to standard output */
};

#define FDS 4096

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int log_fd = -1;
static const char *dir;
static uint32_t files[FDS]; /* file number of each descriptor, 0: not known yet */
static uint32_t last_file;
static uint64_t written, full = UINT64_MAX;

static int (*real_open)(const char *, int, ...);
static int (*real_close)(int);
static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_pwrite)(int, const void *, size_t, off64_t);
static int (*real_fsync)(int), (*real_fdatasync)(int), (*real_ftruncate)(int, off64_t);
static int (*real_range)(int, off64_t, off64_t, unsigned);
static int (*real_rename)(const char *, const char *), (*real_unlink)(const char *);
static int (*real_mkdir)(const char *, mode_t);

__attribute__((constructor)) static void start(void) {
    real_open = dlsym(RTLD_NEXT, "open64");
    real_close = dlsym(RTLD_NEXT, "close");
    real_write = dlsym(RTLD_NEXT, "write");
    real_pwrite = dlsym(RTLD_NEXT, "pwrite64");
    real_fsync = dlsym(RTLD_NEXT, "fsync");
    real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
    real_ftruncate = dlsym(RTLD_NEXT, "ftruncate64");
    real_range = dlsym(RTLD_NEXT, "sync_file_range");
    real_rename = dlsym(RTLD_NEXT, "rename");
    real_unlink = dlsym(RTLD_NEXT, "unlink");
    real_mkdir = dlsym(RTLD_NEXT, "mkdir");
    const char *file = getenv("POWERLOG_FILE"), *limit = getenv("POWERLOG_FULL");
    dir = getenv("POWERLOG_DIR");
    if (limit) full = strtoull(limit, NULL, 10);
    if (dir && file) log_fd = real_open(file, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0644);
}

static int below(const char *path) {
    return log_fd >= 0 && strncmp(path, dir, strlen(dir)) == 0;
}

static void put(const void *bytes, size_t length) {
    for (size_t done = 0; done < length;) {
        ssize_t step = real_write(log_fd, (const char *)bytes + done, length - done);
        if (step <= 0) abort(); /* half a log would prove nothing */
        done += step;
    }
}

static void record(uint8_t kind, uint32_t file, uint64_t offset, const void *bytes, uint32_t length) {
    unsigned char head[17];
    head[0] = kind;
    memcpy(head + 1, &file, 4);
    memcpy(head + 5, &offset, 8);
    memcpy(head + 13, &length, 4);
    put(head, sizeof head);
    put(bytes, length);
}

static void record_path(uint8_t kind, const char *path) {
    record(kind, 0, 0, path, strlen(path));
}

/* The number of an open file below the directory; 0 for every other descriptor. */
static uint32_t file_of(int fd) {
    if (log_fd < 0 || fd < 0 || fd >= FDS || fd == log_fd) return 0;
    if (files[fd] == 0) {
        char link[64], path[4096];
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        ssize_t length = readlink(link, path, sizeof path - 1);
        if (length <= 0) return 0;
        path[length] = 0;
        if (!below(path)) return 0;
        files[fd] = ++last_file;
        record(PATH, files[fd], 0, path, length);
    }
    return files[fd];
}

static int opened(const char *path, int flags, mode_t mode) {
    pthread_mutex_lock(&lock);
    struct stat before;
    int fresh = below(path) && (flags & O_CREAT) && lstat(path, &before) != 0;
    int fd = real_open(path, flags, mode);
    if (fd >= 0 && fresh) record_path(CREATE, path);
    if (fd >= 0 && !fresh && (flags & O_TRUNC) && file_of(fd)) record(TRUNCATE, file_of(fd), 0, NULL, 0);
    pthread_mutex_unlock(&lock);
    return fd;
}

#define OPEN(name)                                 \
    int name(const char *path, int flags, ...) {   \
        va_list rest;                              \
        va_start(rest, flags);                     \
        mode_t mode = (mode_t)va_arg(rest, int);   \
        va_end(rest);                              \
        return opened(path, flags, mode);          \
    }
OPEN(open)
OPEN(open64)

int close(int fd) {
    pthread_mutex_lock(&lock);
    if (fd >= 0 && fd < FDS) files[fd] = 0;
    int result = real_close(fd);
    pthread_mutex_unlock(&lock);
    return result;
}

static int no_room(uint32_t file, size_t length) {
    if (file == 0) return 0;
    written += length;
    return written > full;
}

ssize_t write(int fd, const void *bytes, size_t length) {
    pthread_mutex_lock(&lock);
    uint32_t file = file_of(fd);
    ssize_t result = -1;
    if (no_room(file, length)) {
        errno = ENOSPC;
    } else {
        off64_t offset = file ? lseek64(fd, 0, SEEK_CUR) : 0;
        result = real_write(fd, bytes, length);
        if (file && result > 0) record(WRITE, file, offset, bytes, result);
        if (fd == STDOUT_FILENO && result > 0 && log_fd >= 0) record(ACK, 0, 0, bytes, result);
    }
    pthread_mutex_unlock(&lock);
    return result;
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t offset) {
    pthread_mutex_lock(&lock);
    uint32_t file = file_of(fd);
    ssize_t result = -1;
    if (no_room(file, length)) {
        errno = ENOSPC;
    } else {
        result = real_pwrite(fd, bytes, length, offset);
        if (file && result > 0) record(WRITE, file, offset, bytes, result);
    }
    pthread_mutex_unlock(&lock);
    return result;
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset) {
    return pwrite64(fd, bytes, length, offset);
}

static int synced(int (*call)(int), int fd) {
    pthread_mutex_lock(&lock);
    uint32_t file = file_of(fd);
    int result = call(fd);
    if (file && result == 0) record(SYNC, file, 0, NULL, 0);
    pthread_mutex_unlock(&lock);
    return result;
}

int fsync(int fd) { return synced(real_fsync, fd); }
int fdatasync(int fd) { return synced(real_fdatasync, fd); }

int sync_file_range(int fd, off64_t offset, off64_t length, unsigned flags) {
    pthread_mutex_lock(&lock);
    uint32_t file = file_of(fd);
    int result = real_range(fd, offset, length, flags);
    uint64_t bytes = length;
    if (file && result == 0) record(RANGE, file, offset, &bytes, sizeof bytes);
    pthread_mutex_unlock(&lock);
    return result;
}

int ftruncate64(int fd, off64_t length) {
    pthread_mutex_lock(&lock);
    uint32_t file = file_of(fd);
    int result = real_ftruncate(fd, length);
    if (file && result == 0) record(TRUNCATE, file, length, NULL, 0);
    pthread_mutex_unlock(&lock);
    return result;
}

int ftruncate(int fd, off_t length) { return ftruncate64(fd, length); }

int rename(const char *from, const char *to) {
    pthread_mutex_lock(&lock);
    int result = real_rename(from, to);
    if (result == 0 && below(from)) {
        char both[8192];
        int length = snprintf(both, sizeof both, "%s%c%s", from, 0, to);
        record(RENAME, 0, 0, both, length);
    }
    pthread_mutex_unlock(&lock);
    return result;
}

int unlink(const char *path) {
    pthread_mutex_lock(&lock);
    int result = real_unlink(path);
    if (result == 0 && below(path)) record_path(UNLINK, path);
    pthread_mutex_unlock(&lock);
    return result;
}

int mkdir(const char *path, mode_t mode) {
    pthread_mutex_lock(&lock);
    int result = real_mkdir(path, mode);
    if (result == 0 && below(path)) record_path(MKDIR, path);
    pthread_mutex_unlock(&lock);
    return result;
}
