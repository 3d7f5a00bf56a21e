// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// What a shared procpool exports. Everything else is compiled with hidden visibility.
#define PROCPOOL_API __attribute__((visibility("default")))

// For functions that let a thread's forced end (pthread_exit, cancellation) pass by. The runtime
// hands their handler a null reference, which is never looked at; UBSan would report it.
#define PROCPOOL_PASSES_FORCED_END __attribute__((no_sanitize("undefined")))
