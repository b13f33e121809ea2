/* Connections are open files, and a process may have only so many. */
#ifndef CLI_SERVE_OPEN_FILES_H
#define CLI_SERVE_OPEN_FILES_H

#include <stdint.h>

/* Raises the process's limit to the most that it may take by itself and returns how many
 * connections fit into that, at most `wanted`; fewer are said on stderr. */
uint32_t open_files_for(uint32_t wanted);

#endif
