/* log.h - one line to stderr for each thing worth telling.
 *
 *   12:04:11.532 info  lease    granted job=41 worker=w3
 *
 * Levels   error: someone must act; warn: something was refused or put back; info: state moves;
 *          debug: the rest.
 * Choice   NIGHTMILL_LOG=debug, or NIGHTMILL_LOG=info,lease=debug,wire=debug (unit=level); default
 *          warn.
 * Threads  any; one write(2) for each line, so lines never mix.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* Reads the choice; before it is called only errors and warnings show.  A word that is no level is
 * ignored. */
void log_setup(const char *choice, enum log_level dflt);
bool log_wants(enum log_level level, const char *unit);
void log_line(enum log_level level, const char *unit, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#define log_error(unit, ...) log_line(LOG_ERROR, unit, __VA_ARGS__)
#define log_warn(unit, ...)  log_line(LOG_WARN, unit, __VA_ARGS__)
#define log_info(unit, ...)  log_line(LOG_INFO, unit, __VA_ARGS__)
#define log_debug(unit, ...) log_line(LOG_DEBUG, unit, __VA_ARGS__)

#endif
