/* For LD_PRELOAD: a server whose disk refuses to change. DOYEN_FAULTS names a file with two numbers, "<errno> <n>": from the
   n-th change of the directory DOYEN_FAULTS_BELOW on, each fails so. Without the file, or with n = 0, all goes well. EIO is for
   flushes, which are the only ones to fail then; all else fails otherwise. Each new content of the file begins to count anew. Programs that a server starts are left alone. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int active;
static const char *control, *below;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char seen[64];
static long count;

__attribute__((constructor)) static void begin(int argc, char **argv) {
  control = getenv("DOYEN_FAULTS");
  below = getenv("DOYEN_FAULTS_BELOW");
  active = control && below && argc > 1 && strcmp(argv[1], "server") == 0;
}

enum kind { WRITES, FREES, FLUSHES };

/* Whether this change is to fail; errno says how. A full disk can still be emptied. */
static int fails(enum kind kind) {
  char text[64] = "";
  int error = 0;
  long first = 0, own;
  int (*real_open)(const char *, int, ...) = dlsym(RTLD_NEXT, "open");
  int file = real_open(control, O_RDONLY | O_CLOEXEC);
  if (file < 0) return 0;
  ssize_t length = read(file, text, sizeof text - 1);
  close(file);
  if (length <= 0 || sscanf(text, "%d %ld", &error, &first) != 2 || first == 0) return 0;
  if ((kind == FLUSHES) != (error == EIO)) return 0;
  if (kind == FREES && error == ENOSPC) return 0;
  pthread_mutex_lock(&lock);
  if (strcmp(seen, text) != 0) {
    strcpy(seen, text);
    count = 0;
  }
  own = ++count;
  pthread_mutex_unlock(&lock);
  if (own < first) return 0;
  errno = error;
  return 1;
}

static int is_below(const char *path) { return path && strncmp(path, below, strlen(below)) == 0; }

static int fails_at(const char *path, enum kind kind) { return active && is_below(path) && fails(kind); }

static int fails_in(int fd, enum kind kind) {
  if (!active) return 0;
  char link[64], path[PATH_MAX];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return 0;
  path[length] = 0;
  return is_below(path) && fails(kind);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

#define OPEN(name)                                                                       \
  int name(const char *path, int flags, ...) {                                           \
    va_list rest;                                                                        \
    va_start(rest, flags);                                                               \
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;              \
    va_end(rest);                                                                        \
    if (flags & (O_CREAT | O_TRUNC | O_WRONLY | O_RDWR) && fails_at(path, WRITES)) return -1; \
    return REAL(name)(path, flags, mode);                                                \
  }
OPEN(open)
OPEN(open64)

#define IN(type, name, kind, arguments, call) \
  type name arguments {                       \
    if (fails_in(fd, kind)) return -1;        \
    return REAL(name) call;                   \
  }
IN(ssize_t, write, WRITES, (int fd, const void *data, size_t length), (fd, data, length))
IN(ssize_t, pwrite, WRITES, (int fd, const void *data, size_t length, off_t at), (fd, data, length, at))
IN(ssize_t, pwrite64, WRITES, (int fd, const void *data, size_t length, off64_t at), (fd, data, length, at))
IN(int, ftruncate, WRITES, (int fd, off_t length), (fd, length))
IN(int, ftruncate64, WRITES, (int fd, off64_t length), (fd, length))
IN(int, fsync, FLUSHES, (int fd), (fd))
IN(int, fdatasync, FLUSHES, (int fd), (fd))

#define AT(name, kind, arguments, call)   \
  int name arguments {                    \
    if (fails_at(path, kind)) return -1;  \
    return REAL(name) call;               \
  }
AT(mkdir, WRITES, (const char *path, mode_t mode), (path, mode))
AT(rmdir, FREES, (const char *path), (path))
AT(unlink, FREES, (const char *path), (path))
AT(rename, WRITES, (const char *path, const char *to), (path, to))
AT(link, WRITES, (const char *path, const char *to), (path, to))
