// SPDX-License-Identifier: Apache-2.0
//
// What the cases of the C program check with.
#pragma once

#include <stddef.h>
#include <stdio.h>

#include "tern/c/tern.h"

/// Failures of the case that runs.
extern int checks_failed;

#define CHECK(condition)                                       \
  do {                                                         \
    if (!(condition)) {                                        \
      ++checks_failed;                                         \
      printf("# %s:%d: %s\n", __FILE__, __LINE__, #condition); \
    }                                                          \
  } while (0)

/// The call succeeded; otherwise its error is shown. Frees the error.
#define CHECK_OK(call)                                                                 \
  do {                                                                                 \
    tern_error* error = NULL;                                                          \
    const int code = (call);                                                           \
    if (code != TERN_OK || error != NULL) {                                            \
      ++checks_failed;                                                                 \
      printf("# %s:%d: %s: %s: %s\n", __FILE__, __LINE__, #call, tern_code_name(code), \
             tern_error_message(error));                                               \
    }                                                                                  \
    tern_error_free(error);                                                            \
  } while (0)

/// Runs a case and prints its line of TAP.
void run_case(const char* name, void (*body)(void));

/// "unix:FOLDER/NAME" in the folder of this run.
const char* socket_address(char* text, size_t size, const char* name);

/// The cases of embed_qmp.c.
void run_qmp_cases(void);
