#!/bin/bash -eu
# SPDX-FileCopyrightText: The procpool authors
# SPDX-License-Identifier: BSL-1.0
#
# Builds every target of tests/fuzz for OSS-Fuzz, whose variables are CXX, CXXFLAGS, SRC, WORK and OUT. JOBS: how many
# compilers at a time.
#
# The C++ library is that of the system, as Boost's is. Both are linked statically, for they are not in the image that
# runs the targets.

export CXXFLAGS="${CXXFLAGS//-stdlib=libc++/}"
cmake -S "$SRC/procpool" -B "$WORK/build" -G Ninja -DCMAKE_BUILD_TYPE=None \
  -DPROCPOOL_FUZZ=ON -DPROCPOOL_BUILD_EXAMPLES=OFF -DPROCPOOL_INSTALL=OFF -DBoost_USE_STATIC_LIBS=ON \
  -DCMAKE_EXE_LINKER_FLAGS="-static-libstdc++ -static-libgcc"
cmake --build "$WORK/build" --target fuzz_targets --parallel "${JOBS:-$(nproc)}"

for program in "$WORK"/build/tests/fuzz/fuzz_*; do
  [ -f "$program" ] && [ -x "$program" ] || continue
  name=${program##*/}
  cp "$program" "$OUT/"
  seeds=$WORK/seeds/$name
  mkdir -p "$seeds"
  "$program" --seeds "$seeds"
  corpus=$SRC/procpool/tests/fuzz/corpus/${name#fuzz_}
  [ ! -d "$corpus" ] || cp "$corpus"/* "$seeds/"
  rm -f "$OUT/${name}_seed_corpus.zip"
  (cd "$seeds" && zip -qr "$OUT/${name}_seed_corpus.zip" .)
  printf '[libfuzzer]\nmax_len = 8192\ntimeout = 10\nmalloc_limit_mb = 256\n' >"$OUT/$name.options"
done
