/* What runs inside and outside of the sandbox in a guest: each subcommand attempts one thing and says what became of it. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/landlock.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int say(const char *what, int failed) {
    printf("%s %s\n", what, failed ? strerror(errno) : "done");
    return failed ? 1 : 0;
}

/* Touches memory. */
static int hog(long mib) {
    char *bytes = malloc((size_t)mib << 20);
    if (!bytes)
        return say("hog", 1);
    for (size_t at = 0; at < (size_t)mib << 20; at += 4096)
        bytes[at] = 1;
    printf("held %ld\n", mib);
    return 0;
}

/* Keeps as many children as it may have. */
static int forks(long wanted) {
    int gate[2];
    long made = 0;
    if (pipe(gate))
        return say("forks", 1);
    for (; made < wanted; made++) {
        pid_t child = fork();
        if (child < 0)
            break;
        if (!child) {
            char byte;
            close(gate[1]);
            _exit(read(gate[0], &byte, 1));
        }
    }
    printf("made %ld\n", made);
    close(gate[1]);
    while (wait(NULL) > 0)
        ;
    return 0;
}

/* Forks until somebody ends it. */
_Noreturn static void bomb(void) {
    for (;;)
        if (fork() < 0)
            sched_yield();
}

/* Uses two processors for some seconds; says how much processor time it was given, in milliseconds. */
static int spin(long seconds) {
    pid_t child = fork();
    time_t end = time(NULL) + seconds;
    while (time(NULL) < end)
        ;
    if (!child)
        _exit(0);
    wait(NULL);
    struct rusage own, children;
    getrusage(RUSAGE_SELF, &own);
    getrusage(RUSAGE_CHILDREN, &children);
    long ms = 0;
    struct timeval all[] = {own.ru_utime, own.ru_stime, children.ru_utime, children.ru_stime};
    for (int i = 0; i < 4; i++)
        ms += all[i].tv_sec * 1000 + all[i].tv_usec / 1000;
    printf("spun %ld\n", ms);
    return 0;
}

/* Writes past the page cache; says how many milliseconds it took. */
static int disk(const char *path, long mib) {
    void *block;
    struct timespec from, to;
    int file = open(path, O_RDWR | O_CREAT | O_TRUNC | O_DIRECT, 0600);
    if (file < 0 || posix_memalign(&block, 4096, 1 << 20))
        return say("disk", 1);
    memset(block, 1, 1 << 20);
    clock_gettime(CLOCK_MONOTONIC, &from);
    for (long i = 0; i < mib; i++)
        if (write(file, block, 1 << 20) != 1 << 20)
            return say("disk", 1);
    clock_gettime(CLOCK_MONOTONIC, &to);
    printf("wrote %ld\n", (to.tv_sec - from.tv_sec) * 1000 + (to.tv_nsec - from.tv_nsec) / 1000000);
    unlink(path);
    return 0;
}

/* Listens at, or connects to, a name in the abstract space. */
static int abstract(const char *name, int listening) {
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    strncpy(at.sun_path + 1, name, sizeof at.sun_path - 2);
    socklen_t size = offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name);
    if (!listening)
        return say("connect", connect(fd, (struct sockaddr *)&at, size));
    if (bind(fd, (struct sockaddr *)&at, size) || listen(fd, 8))
        return say("listen", 1);
    say("listen", 0);
    fflush(stdout);
    for (;;)
        close(accept(fd, NULL, NULL));
}

static int read_file(const char *path) {
    char text[64] = "";
    int file = open(path, O_RDONLY);
    if (file < 0 || read(file, text, sizeof text - 1) < 0)
        return say("read", 1);
    printf("read %s\n", text);
    return 0;
}

static int write_file(const char *path, const char *text) {
    int file = open(path, O_WRONLY);
    return say("write", file < 0 || write(file, text, strlen(text)) < 0);
}

int main(int count, char **words) {
    const char *what = count > 1 ? words[1] : "";
    const char *first = count > 2 ? words[2] : "";
    const char *second = count > 3 ? words[3] : "";
    if (!strcmp(what, "hog"))
        return hog(atol(first));
    if (!strcmp(what, "forks"))
        return forks(atol(first));
    if (!strcmp(what, "bomb"))
        bomb();
    if (!strcmp(what, "spin"))
        return spin(atol(first));
    if (!strcmp(what, "disk"))
        return disk(first, atol(second));
    if (!strcmp(what, "listen") || !strcmp(what, "connect"))
        return abstract(first, *what == 'l');
    if (!strcmp(what, "read"))
        return read_file(first);
    if (!strcmp(what, "write"))
        return write_file(first, second);
    if (!strcmp(what, "truncate"))
        return say(what, truncate(first, 0));
    if (!strcmp(what, "move"))
        return say(what, rename(first, second));
    if (!strcmp(what, "signal"))
        return say(what, kill(atoi(first), SIGUSR1));
    if (!strcmp(what, "unshare"))
        return say(what, unshare(CLONE_NEWUSER));
    if (!strcmp(what, "mount"))
        return say(what, mount("none", "/tmp", "tmpfs", 0, NULL));
    if (!strcmp(what, "landlock")) {
        printf("landlock %ld\n", syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION));
        return 0;
    }
    if (!strcmp(what, "as") && count > 3) {
        /* Becomes an ordinary user, then the rest of the line. */
        int id = atoi(first);
        if (setgroups(0, NULL) || setgid(id) || setuid(id))
            return say(what, 1);
        execvp(words[3], words + 3);
        return say(words[3], 1);
    }
    fprintf(stderr, "agent: what is `%s`?\n", what);
    return 2;
}
