/*
 * encodings: every form of a secret that the redactor looks for: plain,
 * base64 (three alignments, two alphabets), percent, JSON, quoted, hex.
 */
#ifndef OPSH_EFFECT_ENCODINGS_H
#define OPSH_EFFECT_ENCODINGS_H

#include <stddef.h>

#include "core/buf.h"

/* Takes one form; 0 to go on. The buffer is the caller's. */
typedef int encodings_cb(const struct buf *form);

/* Calls add with each form; its first result that isn't 0, else 0. -1: out of
 * memory. */
int encodings_each(const char *s, size_t len, encodings_cb *add);

#endif
