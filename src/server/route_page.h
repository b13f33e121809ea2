/* The page for browsers (web/page), which the build bundles, compresses and embeds. */
#ifndef SERVER_ROUTE_PAGE_H
#define SERVER_ROUTE_PAGE_H

#include "server/routes.h"

/* GET /: the page for who wants HTML, and what route_root says for all others. */
route_fn route_page;

#endif
