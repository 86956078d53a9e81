/* terminal.c - what is known of a terminal, and one that is taken over for a while. */
#include "clients/terminal.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define DFLT_WIDTH  80 /* of a terminal that does not say */
#define DFLT_HEIGHT 24

static const char ENTER[] = "\033[?1049h\033[?25l"; /* the other screen, no cursor */
static const char LEAVE[] = "\033[?25h\033[?1049l";

int terminal_width(int fd)
{
    struct winsize w;

    if (!isatty(fd)) return 0;
    return !ioctl(fd, TIOCGWINSZ, &w) && w.ws_col ? w.ws_col : DFLT_WIDTH;
}

int terminal_height(int fd)
{
    struct winsize w;

    if (!isatty(fd)) return 0;
    return !ioctl(fd, TIOCGWINSZ, &w) && w.ws_row ? w.ws_row : DFLT_HEIGHT;
}

int terminal_take(struct terminal *t, struct errmsg *e)
{
    struct termios raw;

    if (tcgetattr(STDIN_FILENO, &t->before))
        return err_set(e, ERR_IO, "terminal: %s", strerror(errno));
    raw = t->before;
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    raw.c_cc[VMIN] = 0;
    raw.c_cc[VTIME] = 0;
    if (tcsetattr(STDIN_FILENO, TCSANOW, &raw) || write(STDOUT_FILENO, ENTER, sizeof ENTER - 1) < 0)
        return err_set(e, ERR_IO, "terminal: %s", strerror(errno));
    t->taken = true;
    return ERR_OK;
}

void terminal_give(struct terminal *t)
{
    if (!t->taken) return;
    t->taken = false;
    tcsetattr(STDIN_FILENO, TCSANOW, &t->before);
    if (write(STDOUT_FILENO, LEAVE, sizeof LEAVE - 1) < 0) return; /* nobody looks */
}
