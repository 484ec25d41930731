// SPDX-License-Identifier: Apache-2.0
//
// tern for C, and for every language that can call C: the whole of the C++ API behind a stable ABI.
// A guide with a complete program is docs/reference/c-api.md. What the engine promises about guest,
// threads and order stands at the C++ classes (tern/source.h and so on) and holds here, too.
//
// Conventions, for every function:
//
// - Errors. A function that can fail returns TERN_OK (0) or a code of enum tern_code, and takes
//   `tern_error **error` last. NULL there: only the code is wanted. Otherwise *error is set, to NULL
//   on success and on failure to an error that the caller frees with tern_error_free. Outputs are
//   written on success only; handles and strings are set to NULL on failure. A NULL where a value is
//   needed is TERN_ERROR_INVALID_ARGUMENT. No exception leaves tern. A failed small allocation ends
//   the process.
// - Handles (struct names without a body) come from a function that takes `TYPE **out` and go with
//   TYPE_free, which takes NULL, too. What one handle needs of another it keeps alive: they may be
//   freed in any order. Memory of the caller (guest RAM above all) is not copied and outlives its use.
// - Text is NUL-terminated, and UTF-8 where it is names. `const char *` that is returned belongs to
//   tern: to the handle it was asked of, or to the program where no handle is involved. `char **out`
//   is freed with tern_free_string. Text that is passed in is copied.
// - Structs that are passed begin with `size`: sizeof of the struct as the caller knows it. What an
//   older, shorter one lacks is 0, which always means the default; a longer one is accepted if what
//   this tern does not know is 0, otherwise TERN_ERROR_UNSUPPORTED. In an array all elements have the
//   same size, which is also the distance from one to the next. Structs have no holes.
// - Callback tables are such structs, and are copied. `user` is handed to each callback. `destroy`
//   (may be NULL) is called with it once tern has no more use for the table; not if the function that
//   took the table failed. Callbacks that can fail return 0 or a code, and may store an error from
//   tern_error_new in *error (never NULL), which tern then owns.
// - Flags are int: 0 is no, everything else yes. Enumerations are passed as int.
// - Threads. Functions may be called on any thread; one handle may be used by several threads at
//   once only where that is said. A handle must not be freed while a call with it runs, nor in a
//   callback.
//
// Everything here exists since tern 0.2 unless said otherwise.
#pragma once

#include "tern/c/base.h"
#include "tern/c/machine.h"
#include "tern/c/migration.h"
#include "tern/c/qmp.h"
