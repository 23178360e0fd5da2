// Instructions of a core program, from a configuration's lines.

#ifndef JAX_NPU_AIE_SIM_PROGRAM_INSTRUCTION_READER_H_
#define JAX_NPU_AIE_SIM_PROGRAM_INSTRUCTION_READER_H_

#include "aie/sim/program/configuration.h"
#include "aie/sim/program/line.h"

namespace jax_npu::sim {

// Checks what an instruction names: slots and jump targets of its program, and buffers,
// locks and kernels of the configuration, whose lines stand before.
class InstructionReader {
 public:
  InstructionReader(const Configuration& configuration, int num_slots,
                    int num_instructions)
      : configuration_(configuration),
        num_slots_(num_slots),
        num_instructions_(num_instructions) {}

  Instruction Read(Line& line) const;

 private:
  struct Form;
  static const Form kForms[];

  void ReadConst(Line& line, Instruction& i) const;
  void ReadBinary(Line& line, Instruction& i) const;
  void ReadCompare(Line& line, Instruction& i) const;
  void ReadSelect(Line& line, Instruction& i) const;
  void ReadCast(Line& line, Instruction& i) const;
  void ReadMove(Line& line, Instruction& i) const;
  void ReadLoad(Line& line, Instruction& i) const;
  void ReadStore(Line& line, Instruction& i) const;
  void ReadLoadAt(Line& line, Instruction& i) const;
  void ReadStoreAt(Line& line, Instruction& i) const;
  void ReadFloat(Line& line, Instruction& i) const;
  void ReadFloatCompare(Line& line, Instruction& i) const;
  void ReadFloatCast(Line& line, Instruction& i) const;
  void ReadFloatInteger(Line& line, Instruction& i) const;
  void ReadPut(Line& line, Instruction& i) const;
  void ReadGet(Line& line, Instruction& i) const;
  void ReadPutCascade(Line& line, Instruction& i) const;
  void ReadGetCascade(Line& line, Instruction& i) const;
  void ReadLock(Line& line, Instruction& i) const;
  void ReadCall(Line& line, Instruction& i) const;
  void ReadJump(Line& line, Instruction& i) const;
  void ReadBranch(Line& line, Instruction& i) const;
  void ReadHalt(Line& line, Instruction& i) const;

  // Parts of several forms.
  int Slot(Line& line) const { return line.Item(num_slots_); }
  void ReadOperands(Line& line, Instruction& i) const;
  void ReadFloatOperands(Line& line, Instruction& i) const;
  void ReadIndices(Line& line, Instruction& i) const;
  void ReadLanes(Line& line, Instruction& i) const;

  const Configuration& configuration_;
  const int num_slots_, num_instructions_;
};

}  // namespace jax_npu::sim

#endif  // JAX_NPU_AIE_SIM_PROGRAM_INSTRUCTION_READER_H_
