/* What this program is made of, for who has to say so in a report or to check a package. */
#ifndef CLI_BUILD_INFO_H
#define CLI_BUILD_INFO_H

#include <stdio.h>

/* A line each: source, compiler, what of this machine it computes with, and the libraries that it
 * runs with. */
void build_info_print(FILE *to);

#endif
