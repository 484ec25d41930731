// SPDX-License-Identifier: Apache-2.0
#pragma once

#define TERN_VERSION_MAJOR 0
#define TERN_VERSION_MINOR 4
#define TERN_VERSION_MICRO 0
#define TERN_VERSION_STRING "0.4.0"

/// Everything an embedder links against carries this mark; the rest of the library is hidden.
#define TERN_API [[gnu::visibility("default")]]
