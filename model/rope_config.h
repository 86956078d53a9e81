/* rope_config.h - how positions become angles, as config.json says it.
 *
 * Two manners are read: rope_theta beside rope_scaling, and rope_parameters, which holds both and
 * may be one object for each of full_attention and sliding_attention.  A kind of rotary positions
 * that is not computed, and a key that its kind does not know, is ERR_UNSUPPORTED and named.
 */
#ifndef MODEL_ROPE_CONFIG_H
#define MODEL_ROPE_CONFIG_H

#include "model/family.h"
#include "model/field.h"

/* Sets n_rot, rope and rope_local of out, whose head_dim and max_positions are set. */
int rope_config_read(struct model_config *out, const struct fields *f,
                     const struct family *a) MUSTCHECK;

#endif
