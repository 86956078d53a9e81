/* plan_game.h - the weights at which the best of some vectors is worth least.
 *
 *   value = min over weights (at least 0, their sum 1) of max over c of sum of weights[i] * c[i]
 *
 * It is the value of a matrix game, and so the most that a mixture of the vectors has in its
 * smallest component.
 *
 * Threads  no state.
 * Source   von Neumann's minimax theorem; the simplex method with Bland's rule, as in Chvatal,
 *          Linear Programming, ch. 3 and 15.
 */
#ifndef BROKER_PLAN_GAME_H
#define BROKER_PLAN_GAME_H

#define GAME_ROWS 256 /* vectors */
#define GAME_COLS 24  /* components */

struct game {
    int n, width;
    double rows[GAME_ROWS][GAME_COLS]; /* at least 0 */
};

double game_value(const struct game *g, double weights[GAME_COLS]);

#endif
