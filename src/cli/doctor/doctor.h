/* What paceline doctor looks at: one finding a question. */
#ifndef CLI_DOCTOR_DOCTOR_H
#define CLI_DOCTOR_DOCTOR_H

#include <stdbool.h>
#include <stdint.h>

#include "paceline.h"

enum finding_state { FINDING_FINE, FINDING_NOTE, FINDING_WRONG };

struct finding {
    const char *name;           /* "memory" */
    enum finding_state state;
    char text[280];             /* what was found */
    char mend[240];             /* what to do about it; empty where fine */
};

enum { MAX_FINDINGS = 32 };

struct doctor {
    const char *root;           /* put before /sys, /proc: "" but in tests */
    struct finding finding[MAX_FINDINGS];
    uint32_t n_findings;
};

/* Adds a finding; text and mend as printf takes them, mend NULL where nothing is to be done. */
__attribute__((format(printf, 4, 6)))
void doctor_find(struct doctor *d, const char *name, enum finding_state state, const char *text,
                 const char *mend, ...);

/* Memory, swap, huge pages, CPU governor, heat, control groups, drivers: of this system. Questions
 * that the system does not answer leave no finding. */
void doctor_ask_system(struct doctor *d);

void doctor_ask_limits(struct doctor *d);

/* Whether the backend is one of a GPU, and this process reaches it: as root or over ssh it may not
 * where a terminal does. Of the processor's own there is no finding. */
void doctor_ask_gpu(struct doctor *d, const char *backend);

/* Whether a server could listen there, and who could reach it. */
void doctor_ask_port(struct doctor *d, const char *host, uint16_t port);

/* Opens the model, compares it with the memory at hand, and decodes for about a second to hold the
 * speed against the plan's. */
void doctor_ask_model(struct doctor *d, const pl_params *params);

#endif
