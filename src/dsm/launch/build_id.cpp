#include <elf.h>
#include <link.h>

#include <cstring>

#include "dsm/launch/settings.hpp"

namespace dsm::launch {
namespace {

struct Search {
  std::uintptr_t inside;  // an address in the object that is looked for
  std::string found;
};

std::string hex(const unsigned char* bytes, std::size_t size) {
  std::string text;
  for (std::size_t i = 0; i < size; ++i) {
    text += "0123456789abcdef"[bytes[i] >> 4];
    text += "0123456789abcdef"[bytes[i] & 15];
  }
  return text;
}

// The notes of one loaded segment: header, name, description, each padded to four bytes.
std::string note_build_id(const char* at, std::size_t left) {
  while (left >= sizeof(ElfW(Nhdr))) {
    ElfW(Nhdr) note;
    std::memcpy(&note, at, sizeof note);
    const std::size_t name = (note.n_namesz + 3u) & ~std::size_t{3};
    const std::size_t size = sizeof note + name + ((note.n_descsz + 3u) & ~std::size_t{3});
    if (size > left) break;
    if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 &&
        std::memcmp(at + sizeof note, "GNU", 4) == 0)
      return hex(reinterpret_cast<const unsigned char*>(at + sizeof note + name), note.n_descsz);
    at += size;
    left -= size;
  }
  return {};
}

int visit(dl_phdr_info* object, std::size_t, void* argument) {
  auto& search = *static_cast<Search*>(argument);
  bool contains = false;
  for (int i = 0; i < object->dlpi_phnum; ++i) {
    const auto& segment = object->dlpi_phdr[i];
    const std::uintptr_t start = object->dlpi_addr + segment.p_vaddr;
    contains |= segment.p_type == PT_LOAD && start <= search.inside &&
                search.inside < start + segment.p_memsz;
  }
  if (!contains) return 0;
  for (int i = 0; i < object->dlpi_phnum && search.found.empty(); ++i) {
    const auto& segment = object->dlpi_phdr[i];
    if (segment.p_type == PT_NOTE)
      search.found = note_build_id(
          reinterpret_cast<const char*>(object->dlpi_addr + segment.p_vaddr), segment.p_memsz);
  }
  return 1;
}

}  // namespace

std::string build_id() {
  Search search{reinterpret_cast<std::uintptr_t>(&build_id), {}};
  ::dl_iterate_phdr(visit, &search);
  return search.found.empty() ? "libdsm " DSM_VERSION ", " __VERSION__ : search.found;
}

}  // namespace dsm::launch
