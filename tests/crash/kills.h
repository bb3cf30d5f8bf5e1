/* issuerd, or its signer, killed under a load, at a named point or at any moment, and started again. */
#pragma once

#include "crash/bed.h"

/* NULL: no such point. The names are those of base/crash_point.h, in the order of an exchange. */
const char *kills_point_name(unsigned index);

/* `times` deaths at the point `name`, which must be there; a line of the results. */
void kills_at_point(struct bed *bed, const char *name, unsigned times);

/* `times` deaths at any moment since the exec, under as much load as there can be. */
void kills_at_random(struct bed *bed, unsigned times);
