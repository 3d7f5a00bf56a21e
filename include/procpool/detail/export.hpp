#pragma once

// What a shared procpool exports. Everything else is compiled with hidden visibility.
#define PROCPOOL_API __attribute__((visibility("default")))
