/* jinja_content.h - does a template take a message's content as text, or as a list of parts?
 *
 * OpenAI's content is a string or a list of {"type": "text", "text": ...}.  A template that loops
 * over the content takes the list; one that never does would print the list as Python does.  The
 * form is found by looking at the tree: a loop over what is called content, or was set from it.
 */
#ifndef MODEL_JINJA_CONTENT_H
#define MODEL_JINJA_CONTENT_H

#include "model/jinja_parse.h"

enum content_form {
    CONTENT_TEXT,   /* strings only */
    CONTENT_EITHER, /* it loops over a list, and asks whether the content is a string */
    CONTENT_PARTS   /* it loops over a list, and never asks */
};

enum content_form content_form_of(const struct tree *t);

#endif
