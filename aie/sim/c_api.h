// The virtual NPU for ctypes. A function that fails returns null or -1; until the
// thread's next call, npu_sim_error then returns the reason, in one line.

#ifndef JAX_NPU_AIE_SIM_C_API_H_
#define JAX_NPU_AIE_SIM_C_API_H_

#include <cstdint>

#define JAX_NPU_SIM_EXPORT __attribute__((visibility("default")))

extern "C" {

struct NpuSim;

// A kernel of the caller. It gets pointers to its arguments' bytes (null for a scalar),
// their sizes and the scalars, and returns 0 unless it failed.
typedef int (*NpuSimKernel)(void* const* data, const int64_t* bytes,
                            const int64_t* scalars);

struct NpuSimKernelInfo {
  const char* name;
  NpuSimKernel run;
  int num_arguments;
  const char* accesses;  // one letter for each: '-', 'r', 'w' or 'b' (both)
  // Per call. Negative cycles: only `run` replaces what the built-in kernel of that
  // name has.
  int64_t cycles, macs;
  // From and to the cascade, per call: arguments behind the others, if not 0.
  int64_t cascade_in_bytes, cascade_out_bytes;
};

JAX_NPU_SIM_EXPORT const char* npu_sim_error();

// Makes an array with the configuration of that text, with built-in kernels that
// compute with `arithmetic`, and with the caller's kernels, which replace built-in ones
// of the same names. With `only_timed` nothing is computed, and the data of a run's
// arguments may be null: see Effect of engine/virtual_npu.h.
JAX_NPU_SIM_EXPORT NpuSim* npu_sim_open(const char* configuration,
                                        const char* arithmetic, int b_column_major,
                                        int only_timed, const NpuSimKernelInfo* kernels,
                                        int num_kernels);
// Gives the design that LOADPDI of that id loads.
JAX_NPU_SIM_EXPORT int npu_sim_add_design(NpuSim* sim, int pdi,
                                          const char* configuration);
JAX_NPU_SIM_EXPORT void npu_sim_close(NpuSim* sim);

// Runs a stream to its end. `data` are the argument buffers, aligned to 4 bytes.
// `is_chained`: the run follows another in one list. `stop_after`: the cycle after
// which it is stopped, negative for none; it then returns 1, with npu_sim_error.
JAX_NPU_SIM_EXPORT int npu_sim_run(NpuSim* sim, const uint32_t* words,
                                   int64_t num_words, void* const* data,
                                   const int64_t* bytes, int num_arguments,
                                   int is_chained, int64_t stop_after);
JAX_NPU_SIM_EXPORT void npu_sim_reset(NpuSim* sim);

// The report of the last run or of all runs, as JSON; valid until the next call with
// `sim`, as is the trace.
JAX_NPU_SIM_EXPORT const char* npu_sim_report(NpuSim* sim, int of_all_runs);
// The array's state as JSON, and a tile's data memory, both after a failed run too.
JAX_NPU_SIM_EXPORT const char* npu_sim_state(NpuSim* sim);
JAX_NPU_SIM_EXPORT const void* npu_sim_memory(NpuSim* sim, int column, int row,
                                              int64_t* bytes);
JAX_NPU_SIM_EXPORT void npu_sim_start_trace(NpuSim* sim);
JAX_NPU_SIM_EXPORT const char* npu_sim_trace(NpuSim* sim);

}  // extern "C"

#endif  // JAX_NPU_AIE_SIM_C_API_H_
