/* terminal.h - what is known of a terminal, and one that is taken over for a while.
 *
 * Ownership  caller's storage; terminal_take changes the terminal's settings, terminal_give puts
 *            them back.
 * Errors     ERR_IO.
 */
#ifndef CLIENTS_TERMINAL_H
#define CLIENTS_TERMINAL_H

#include <stdbool.h>
#include <termios.h>

#include "base/err.h"

int terminal_width(int fd);  /* columns; 0: no terminal */
int terminal_height(int fd); /* lines; 0: no terminal */

struct terminal {
    struct termios before;
    bool taken;
};

/* Standard input gives keys at once and unseen, standard output shows an empty screen of its own.
 */
int terminal_take(struct terminal *t, struct errmsg *e) MUSTCHECK;
void terminal_give(struct terminal *t);

#endif
