/* test_lines.c - clients/lines: what a line is, and what it may cost. */
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clients/lines.h"
#include "tests/test.h"

static struct lines *lines;
static struct line line;
static struct errmsg err;

static int memory_fd(const void *data, size_t len)
{
    int fd = memfd_create("lines", 0);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, data, len), (ssize_t)len);
    ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
    return fd;
}

static void open_bytes(const void *data, size_t len, size_t max)
{
    ck_assert_int_eq(lines_open(&lines, memory_fd(data, len), max, &err), ERR_OK);
}

#define OPEN(text, max) open_bytes(text, sizeof text - 1, max)

static void expect(const char *bytes, size_t len, int64_t number, int64_t offset)
{
    ck_assert_int_eq(lines_next(lines, &line, &err), ERR_OK);
    ck_assert_int_eq(line.number, number);
    ck_assert_int_eq(line.offset, offset);
    ck_assert(!line.too_long);
    ck_assert_uint_eq(line.len, len);
    ck_assert_mem_eq(line.bytes, bytes, len);
}

static void expect_end(void)
{
    ck_assert_int_eq(lines_next(lines, &line, &err), ERR_EMPTY);
    ck_assert_int_eq(lines_next(lines, &line, &err), ERR_EMPTY);
    lines_close(&lines);
    ck_assert_ptr_null(lines);
}

START_TEST(lines_come_with_number_and_offset)
{
    OPEN("one\ntwo\nthree\n", 100);
    expect("one", 3, 1, 0);
    expect("two", 3, 2, 4);
    expect("three", 5, 3, 8);
    expect_end();
}
END_TEST

START_TEST(byte_order_mark_is_taken_away_but_counted_in_the_offset)
{
    OPEN("\xEF\xBB\xBFone\n\xEF\xBB\xBFtwo\n", 100);
    expect("one", 3, 1, 3);
    expect("\xEF\xBB\xBFtwo", 6, 2, 7); /* only at the start is it a mark */
    expect_end();
}
END_TEST

START_TEST(stream_of_nothing_but_a_mark_is_empty)
{
    OPEN("\xEF\xBB\xBF", 100);
    expect_end();
    OPEN("\xEF\xBB", 100);
    expect("\xEF\xBB", 2, 1, 0);
    expect_end();
    OPEN("", 100);
    expect_end();
}
END_TEST

START_TEST(crlf_ends_a_line_as_lf_does)
{
    OPEN("one\r\ntwo\rtoo\r\nthree\r", 100);
    expect("one", 3, 1, 0);
    expect("two\rtoo", 7, 2, 5);
    expect("three", 5, 3, 14);
    expect_end();
}
END_TEST

START_TEST(blank_lines_are_skipped_and_counted)
{
    OPEN("\n  \t\r\none\n\r\n\n two \n\n", 100);
    expect("one", 3, 3, 6);
    expect(" two ", 5, 6, 13);
    ck_assert_int_eq(lines_blank(lines), 4);
    ck_assert_int_eq(lines_next(lines, &line, &err), ERR_EMPTY);
    ck_assert_int_eq(lines_blank(lines), 5);
    lines_close(&lines);
}
END_TEST

START_TEST(last_line_needs_no_newline)
{
    OPEN("one\ntwo", 100);
    expect("one", 3, 1, 0);
    expect("two", 3, 2, 4);
    expect_end();
}
END_TEST

START_TEST(nul_bytes_are_bytes)
{
    OPEN("a\0b\n\0\n", 100);
    expect("a\0b", 3, 1, 0);
    expect("\0", 1, 2, 4);
    expect_end();
}
END_TEST

START_TEST(line_over_the_limit_is_told_with_its_true_length)
{
    OPEN("12345\n123456\n12345\r\n123456\r\n1234567", 5);
    expect("12345", 5, 1, 0);
    ck_assert_int_eq(lines_next(lines, &line, &err), ERR_OK);
    ck_assert(line.too_long);
    ck_assert_ptr_null(line.bytes);
    ck_assert_uint_eq(line.len, 6);
    ck_assert_int_eq(line.offset, 6);
    expect("12345", 5, 3, 13); /* its CR does not count */
    ck_assert_int_eq(lines_next(lines, &line, &err), ERR_OK);
    ck_assert(line.too_long);
    ck_assert_uint_eq(line.len, 6);
    ck_assert_int_eq(lines_next(lines, &line, &err), ERR_OK);
    ck_assert(line.too_long);
    ck_assert_uint_eq(line.len, 7);
    ck_assert_int_eq(line.number, 5);
    expect_end();
}
END_TEST

/* Lines of every length around the reader's 1 MiB, so that ends, CRs and limits meet its border. */
START_TEST(lines_survive_the_border_of_the_read_buffer)
{
    size_t border = (size_t)1 << 20;
    char *data = malloc(3 * border);

    ck_assert_ptr_nonnull(data);
    for (size_t first = border - 4; first <= border + 4; first++) {
        memset(data, 'x', 3 * border);
        memcpy(data + first, "\r\n", 2);
        memcpy(data + first + 2 + border, "\nlast", 5);
        open_bytes(data, first + border + 7, border + 2);
        ck_assert_int_eq(lines_next(lines, &line, &err), ERR_OK);
        ck_assert_uint_eq(line.len, first);
        ck_assert_int_eq(line.too_long, first > border + 2);
        if (!line.too_long) ck_assert_int_eq(line.bytes[0], 'x'); /* with its CR it is over */
        ck_assert_int_eq(lines_next(lines, &line, &err), ERR_OK);
        ck_assert_uint_eq(line.len, border);
        ck_assert_int_eq(line.bytes[border - 1], 'x');
        ck_assert_int_eq(line.offset, (int64_t)first + 2);
        expect("last", 4, 3, (int64_t)(first + border + 3));
        expect_end();
    }
    free(data);
}
END_TEST

START_TEST(pipe_that_gives_single_bytes_reads_the_same)
{
    static const char TEXT[] = "\xEF\xBB\xBFone\r\n\ntwo";
    int fds[2];
    pid_t child;

    ck_assert_int_eq(pipe(fds), 0);
    child = fork();
    ck_assert_int_ge(child, 0);
    if (!child) {
        close(fds[0]);
        for (size_t i = 0; i + 1 < sizeof TEXT; i++)
            if (write(fds[1], TEXT + i, 1) != 1) _exit(1);
        _exit(0);
    }
    close(fds[1]);
    ck_assert_int_eq(lines_open(&lines, fds[0], 100, &err), ERR_OK);
    expect("one", 3, 1, 3);
    expect("two", 3, 3, 9);
    expect_end();
    waitpid(child, NULL, 0);
}
END_TEST

static void on_alarm(int sig)
{
    (void)sig;
}

START_TEST(reading_goes_on_after_a_signal)
{
    struct sigaction act = {.sa_handler = on_alarm};
    int fds[2], rc;

    ck_assert_int_eq(pipe(fds), 0);
    ck_assert_int_eq(write(fds[1], "on", 2), 2);
    ck_assert_int_eq(lines_open(&lines, fds[0], 100, &err), ERR_OK);
    sigaction(SIGALRM, &act, NULL);
    ualarm(20000, 20000); /* again and again: the first may come before the read */
    ck_assert_int_eq(lines_next(lines, &line, &err), ERR_INTERRUPTED);
    ualarm(0, 0);
    ck_assert_int_eq(write(fds[1], "e\n", 2), 2);
    close(fds[1]);
    do
        rc = lines_next(lines, &line, &err);
    while (rc == ERR_INTERRUPTED);
    ck_assert_int_eq(rc, ERR_OK);
    ck_assert_uint_eq(line.len, 3);
    ck_assert_mem_eq(line.bytes, "one", 3);
    expect_end();
}
END_TEST

START_TEST(descriptor_that_cannot_be_read_is_an_io_error_with_its_reason)
{
    ck_assert_int_eq(lines_open(&lines, -1, 100, &err), ERR_OK);
    ck_assert_int_eq(lines_next(lines, &line, &err), ERR_IO);
    ck_assert_ptr_nonnull(strstr(err.text, "line 1: Bad file descriptor"));
    lines_close(&lines);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("lines");
    TCase *t = tcase_create("lines");

    tcase_set_timeout(t, 30);
    tcase_add_test(t, lines_come_with_number_and_offset);
    tcase_add_test(t, byte_order_mark_is_taken_away_but_counted_in_the_offset);
    tcase_add_test(t, stream_of_nothing_but_a_mark_is_empty);
    tcase_add_test(t, crlf_ends_a_line_as_lf_does);
    tcase_add_test(t, blank_lines_are_skipped_and_counted);
    tcase_add_test(t, last_line_needs_no_newline);
    tcase_add_test(t, nul_bytes_are_bytes);
    tcase_add_test(t, line_over_the_limit_is_told_with_its_true_length);
    tcase_add_test(t, lines_survive_the_border_of_the_read_buffer);
    tcase_add_test(t, pipe_that_gives_single_bytes_reads_the_same);
    tcase_add_test(t, reading_goes_on_after_a_signal);
    tcase_add_test(t, descriptor_that_cannot_be_read_is_an_io_error_with_its_reason);
    suite_add_tcase(s, t);
    return s;
}

TEST_MAIN(suite)
