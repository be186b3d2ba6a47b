#!/usr/bin/env python3
"""Compiles every C++ block of the given Markdown files: docs.py COMPILER INCLUDE_DIRECTORY FILE...

A block is a file of its own, with the public header and a few of the standard library's before it.
"""
import re
import subprocess
import sys

PRELUDE = '#include <dsm/dsm.hpp>\n#include <cstdio>\n#include <mutex>\n#include <span>\n#include <vector>\n'


def main() -> int:
    compiler, include, *files = sys.argv[1:]
    failed = compiled = 0
    for name in files:
        text = open(name, encoding='utf-8').read()
        for block in re.finditer(r'^```cpp\n(.*?)^```', text, re.M | re.S):
            line = text[: block.start()].count('\n') + 2
            source = f'{PRELUDE}#line {line} "{name}"\n{block.group(1)}'
            run = subprocess.run(
                [compiler, '-std=c++20', '-fsyntax-only', '-Wall', '-Wextra', f'-I{include}', '-xc++', '-'],
                input=source, text=True, capture_output=True, check=False)
            compiled += 1
            if run.returncode != 0:
                failed += 1
                print(run.stderr)
    print(f'{compiled} blocks compiled, {failed} failed')
    return 1 if failed or compiled == 0 else 0


if __name__ == '__main__':
    sys.exit(main())
