/* test_mailbox.c - things handed from one thread to another. */
#include <poll.h>
#include <pthread.h>
#include <string.h>

#include "base/mailbox.h"
#include "tests/test.h"

#define LETTERS 20000
#define SENDERS 2

struct letter {
    struct mail mail;
    int sender, n;
};

static struct mailbox box;
static struct letter letters[SENDERS][LETTERS];

static bool is_readable(void)
{
    struct pollfd p = {box.fd, POLLIN, 0};

    return poll(&p, 1, 0) == 1;
}

static void open_box(void)
{
    struct errmsg e;

    ck_assert_int_eq(mailbox_init(&box, &e), ERR_OK);
}

START_TEST(things_come_in_order_and_all_at_once)
{
    open_box();
    ck_assert_ptr_null(mailbox_take(&box, false));
    ck_assert(!is_readable());
    for (int i = 0; i < 3; i++) {
        letters[0][i].n = i;
        mailbox_put(&box, &letters[0][i].mail);
        ck_assert(is_readable());
    }
    {
        struct letter *l = (struct letter *)mailbox_take(&box, false);

        ck_assert_int_eq(l->n, 0);
        l = (struct letter *)l->mail.next;
        ck_assert_int_eq(l->n, 1);
        l = (struct letter *)l->mail.next;
        ck_assert_int_eq(l->n, 2);
        ck_assert_ptr_null(l->mail.next);
    }
    ck_assert(!is_readable());
    ck_assert_ptr_null(mailbox_take(&box, false));
    mailbox_put(&box, &letters[0][1].mail); /* taken things may be put again */
    ck_assert_ptr_eq(mailbox_take(&box, true), &letters[0][1].mail);
    mailbox_fini(&box);
    mailbox_fini(&box);
}
END_TEST

static void *send_all(void *arg)
{
    int sender = *(int *)arg;

    for (int i = 0; i < LETTERS; i++) {
        letters[sender][i].sender = sender;
        letters[sender][i].n = i;
        mailbox_put(&box, &letters[sender][i].mail);
    }
    return NULL;
}

START_TEST(two_senders_lose_nothing_and_keep_their_order)
{
    pthread_t t[SENDERS];
    int who[SENDERS] = {0, 1}, next[SENDERS] = {0}, got = 0;

    open_box();
    for (int i = 0; i < SENDERS; i++)
        ck_assert_int_eq(pthread_create(&t[i], NULL, send_all, &who[i]), 0);
    while (got < SENDERS * LETTERS) {
        struct mail *m = mailbox_take(&box, true), *after;

        for (; m; m = after) {
            struct letter *l = (struct letter *)m;

            after = m->next;
            ck_assert_int_eq(l->n, next[l->sender]++);
            got++;
        }
    }
    for (int i = 0; i < SENDERS; i++)
        pthread_join(t[i], NULL);
    ck_assert_ptr_null(mailbox_take(&box, false));
    ck_assert(!is_readable());
    mailbox_fini(&box);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("mailbox");
    TCase *t = tcase_create("mailbox");

    tcase_add_test(t, things_come_in_order_and_all_at_once);
    tcase_add_test(t, two_senders_lose_nothing_and_keep_their_order);
    suite_add_tcase(s, t);
    return s;
}

TEST_MAIN(suite)
