/* A disk that fails, for tests. Preloaded into a process, it lets calls on files whose path
   contains "ledger.db" fail: fail_from(KIND, N, ONCE) lets N of them pass; failed() returns how
   many failed since. The kinds are below. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

enum { NONE, FULL, BROKEN, SHORT, UNSYNCED, READONLY, UNREADABLE };
enum { READ, WRITE, SYNC, NAME };
static int kind, once;
static long pass, failures;

void fail_from(int new_kind, long n, int only_once) {
    kind = new_kind, pass = n, once = only_once, failures = 0;
}

long failed(void) { return failures; }

static int concerns(int call) {
    switch (kind) {
    case FULL: case SHORT: case READONLY: return call == WRITE;
    case BROKEN: return call != READ;
    case UNSYNCED: return call == SYNC;
    case UNREADABLE: return call == READ;
    default: return 0;
    }
}

static int fails(const char *path, int call) {
    if (!concerns(call) || !strstr(path, "ledger.db") || pass-- > 0 || (once && failures))
        return 0;
    failures++;
    errno = kind == FULL || kind == SHORT ? ENOSPC : kind == READONLY ? EROFS : EIO;
    return 1;
}

static int fd_fails(int fd, int call) {
    char link[64], path[4096] = "";
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    if (!concerns(call) || readlink(link, path, sizeof path - 1) < 0)
        return 0;
    /* the folder is synced, too: its name is not that of the ledger */
    return fails(call == SYNC && !strstr(path, "ledger.db") ? "ledger.db" : path, call);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
/* Of a short write half arrives, and the rest does not. */
#define WRITES(name, type, params, half, all)                                                      \
    type name params {                                                                             \
        if (!fd_fails(fd, WRITE)) return REAL(name) all;                                           \
        return kind == SHORT && failures == 1 && n > 1 ? REAL(name) half : -1;                     \
    }
#define FAILS(name, type, params, call, args)                                                      \
    type name params { return fd_fails(fd, call) ? -1 : REAL(name) args; }

WRITES(write, ssize_t, (int fd, const void *b, size_t n), (fd, b, n / 2), (fd, b, n))
WRITES(pwrite, ssize_t, (int fd, const void *b, size_t n, off_t at), (fd, b, n / 2, at), (fd, b, n, at))
WRITES(pwrite64, ssize_t, (int fd, const void *b, size_t n, off64_t at), (fd, b, n / 2, at), (fd, b, n, at))
FAILS(read, ssize_t, (int fd, void *b, size_t n), READ, (fd, b, n))
FAILS(pread, ssize_t, (int fd, void *b, size_t n, off_t at), READ, (fd, b, n, at))
FAILS(pread64, ssize_t, (int fd, void *b, size_t n, off64_t at), READ, (fd, b, n, at))
FAILS(ftruncate, int, (int fd, off_t n), WRITE, (fd, n))
FAILS(ftruncate64, int, (int fd, off64_t n), WRITE, (fd, n))
FAILS(fsync, int, (int fd), SYNC, (fd))
FAILS(fdatasync, int, (int fd), SYNC, (fd))
int unlink(const char *path) { return fails(path, NAME) ? -1 : REAL(unlink)(path); }
