#include "engine/seq.h"

#include <stddef.h>

void seq_list_append(struct seq_list *list, struct seq *q)
{
    q->next = NULL;
    q->previous = list->last;
    if (list->last)
        list->last->next = q;
    else
        list->first = q;
    list->last = q;
    list->n++;
}

void seq_list_insert(struct seq_list *list, struct seq *q)
{
    struct seq *before = list->last;
    while (before && seq_goes_before(q, before)) before = before->previous;
    struct seq *after = before ? before->next : list->first;
    q->previous = before;
    q->next = after;
    *(before ? &before->next : &list->first) = q;
    *(after ? &after->previous : &list->last) = q;
    list->n++;
}

void seq_list_remove(struct seq_list *list, struct seq *q)
{
    if (q->previous)
        q->previous->next = q->next;
    else
        list->first = q->next;
    if (q->next)
        q->next->previous = q->previous;
    else
        list->last = q->previous;
    q->next = q->previous = NULL;
    list->n--;
}
