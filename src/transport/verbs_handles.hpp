// Verbs objects that destroy themselves, in the order opposite to their making. Thread-compatible.
#pragma once

#include <infiniband/verbs.h>

#include <memory>

namespace dsm::transport {

template <auto destroy>
struct VerbsDestroy {
  template <typename T>
  void operator()(T* object) const {
    destroy(object);
  }
};

template <typename T, auto destroy>
using VerbsHandle = std::unique_ptr<T, VerbsDestroy<destroy>>;

using VerbsContext = VerbsHandle<ibv_context, &ibv_close_device>;
using VerbsDomain = VerbsHandle<ibv_pd, &ibv_dealloc_pd>;
using VerbsChannel = VerbsHandle<ibv_comp_channel, &ibv_destroy_comp_channel>;
using VerbsQueue = VerbsHandle<ibv_cq, &ibv_destroy_cq>;
using VerbsPair = VerbsHandle<ibv_qp, &ibv_destroy_qp>;
using VerbsRegion = VerbsHandle<ibv_mr, &ibv_dereg_mr>;
using VerbsPath = VerbsHandle<ibv_ah, &ibv_destroy_ah>;

}  // namespace dsm::transport
