// The states of a command, with XRT's numbers.

#ifndef JAX_NPU_AIE_SIM_XRT_XRT_DETAIL_ERT_H_
#define JAX_NPU_AIE_SIM_XRT_XRT_DETAIL_ERT_H_

// Marks the parts of the virtual XRT that programs which link against it may use.
#define NPU_SIM_EXPORT __attribute__((visibility("default")))

enum ert_cmd_state {
  ERT_CMD_STATE_NEW = 1,
  ERT_CMD_STATE_QUEUED = 2,
  ERT_CMD_STATE_RUNNING = 3,
  ERT_CMD_STATE_COMPLETED = 4,
  ERT_CMD_STATE_ERROR = 5,
  ERT_CMD_STATE_ABORT = 6,
  ERT_CMD_STATE_SUBMITTED = 7,
  ERT_CMD_STATE_TIMEOUT = 8,
};

#endif  // JAX_NPU_AIE_SIM_XRT_XRT_DETAIL_ERT_H_
