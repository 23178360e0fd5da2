#include "aie/sim/program/configuration.h"

#include <stdexcept>

#include "aie/sim/program/element_sizes.h"
#include "aie/sim/program/instruction_reader.h"
#include "aie/sim/program/line.h"

namespace jax_npu::sim {
namespace {

constexpr char kFormatName[] = "jax-npu-configuration";
constexpr char kFormatVersion[] = "1";
constexpr size_t kNumPacketIds = 32, kNumPacketTypes = 8;

// Each function takes the words after the line's kind, and with `core` the lines that
// follow.
void ReadDevice(Line& line, Lines&, Configuration& to) { to.device = line.Word(); }

void ReadParam(Line& line, Lines&, Configuration& to) {
  const std::string name = line.Word();
  to.parameters[name] = line.Take<double>();
}

void ReadBuffer(Line& line, Lines&, Configuration& to) {
  BufferInfo buffer = {line.Tile(), line.Take<int64_t>(), line.Take<int64_t>(), {}, {}};
  buffer.name = line.Word();
  to.buffers.push_back(buffer);
}

void ReadData(Line& line, Lines&, Configuration& to) {
  BufferInfo& buffer = to.buffers[line.Item(to.buffers.size())];
  buffer.data = line.Bytes();
  if (static_cast<int64_t>(buffer.data.size()) != buffer.bytes) {
    line.Fail("has another number of bytes than its buffer");
  }
}

void ReadLock(Line& line, Lines&, Configuration& to) {
  LockInfo lock = {line.Tile(), line.Take(), line.Take(), {}};
  lock.name = line.Word();
  to.locks.push_back(lock);
}

void ReadDimensions(Line& line, std::vector<Dimension>& dimensions) {
  dimensions.resize(line.Take<unsigned>());
  for (Dimension& d : dimensions) {
    d.size = line.Take<int64_t>();
    d.stride = line.Take<int64_t>();
  }
  const unsigned num_pads = line.Take<unsigned>();
  if (num_pads > dimensions.size()) line.Fail("pads more than its dimensions");
  for (unsigned i = 0; i < num_pads; ++i) {
    Dimension& d = dimensions[dimensions.size() - num_pads + i];
    d.before = line.Take<int64_t>();
    d.after = line.Take<int64_t>();
  }
}

void ReadBd(Line& line, Lines&, Configuration& to) {
  BdInfo bd;
  bd.tile = line.Tile();
  bd.id = line.Take();
  bd.memory = line.Tile();
  bd.address = line.Take<int64_t>();
  bd.length = line.Take<int64_t>();
  bd.next = line.Take();
  bd.acquire_lock = line.Index(to.locks.size());
  bd.acquire_value = line.Take();
  bd.release_lock = line.Index(to.locks.size());
  bd.release_value = line.Take();
  ReadDimensions(line, bd.dimensions);
  if (!line.is_at_end()) {
    bd.packet_id = line.Item(kNumPacketIds);
    bd.packet_type = line.Item(kNumPacketTypes);
  }
  to.bds.push_back(bd);
}

void ReadStart(Line& line, Lines&, Configuration& to) {
  StartInfo start;
  start.tile = line.Tile();
  start.direction = line.Take() == 0 ? kS2mm : kMm2s;
  start.channel = line.Take();
  start.bd = line.Take();
  start.repeats = line.Take();
  to.starts.push_back(start);
}

PortInfo TakePort(Line& line) {
  const std::string word = line.Word();
  const size_t digits = word.find_first_of("0123456789");
  const std::string kind = word.substr(0, digits);
  PortInfo port;
  if (digits != std::string::npos) {
    if (word.find_first_not_of("0123456789", digits) != std::string::npos ||
        word.size() - digits > 2) {
      line.Fail("has '" + word + "' for a port");
    }
    port.number = std::stoi(word.substr(digits));
  }
  if (kind == "control") {
    port.kind = PortKind::kControl;
  } else if (kind == "core") {
    port.kind = PortKind::kCore;
  } else if (kind == "trace") {
    port.kind = PortKind::kTrace;
  } else if (!kind.empty() || word.empty()) {
    line.Fail("has '" + word + "' for a port");
  }
  return port;
}

RouteInfo TakeRoute(Line& line) {
  RouteInfo route;
  route.from = line.Tile();
  route.from_port = TakePort(line);
  route.to = line.Tile();
  route.to_port = TakePort(line);
  route.hops = line.Take();
  return route;
}

void ReadRoute(Line& line, Lines&, Configuration& to) {
  to.routes.push_back(TakeRoute(line));
}

void ReadPacketRoute(Line& line, Lines&, Configuration& to) {
  RouteInfo route = TakeRoute(line);
  route.packet_id = line.Item(kNumPacketIds);
  route.keeps_header = line.Take() != 0;
  to.routes.push_back(route);
}

void ReadCascade(Line& line, Lines&, Configuration& to) {
  const TileAt from = line.Tile();
  to.cascades.push_back({from, line.Tile()});
}

void ReadType(Line& line, Lines&, Configuration& to) {
  TypeInfo type = {line.Word(), {}};
  for (int rank = line.Take(); rank > 0; --rank) {
    type.shape.push_back(line.Take<int64_t>());
  }
  to.types.push_back(type);
}

void ReadKernel(Line& line, Lines&, Configuration& to) {
  KernelInfo kernel = {line.Word(), {}};
  for (int count = line.Take(); count > 0; --count) {
    kernel.arguments.push_back(line.Index(to.types.size()));
  }
  to.kernels.push_back(kernel);
}

void ReadCore(Line& line, Lines& lines, Configuration& to) {
  CoreInfo core = {line.Tile(), line.Take(), {}};
  const int num_instructions = line.Take();
  const InstructionReader reader(to, core.num_slots, num_instructions);
  for (int i = 0; i < num_instructions; ++i) {
    Line instruction = lines.Next();
    core.program.push_back(reader.Read(instruction));
  }
  to.cores.push_back(core);
}

struct Form {
  const char* kind;
  void (*read)(Line& line, Lines& lines, Configuration& to);
};

constexpr Form kForms[] = {
    {"device", ReadDevice},
    {"param", ReadParam},
    {"buffer", ReadBuffer},
    {"lock", ReadLock},
    {"bd", ReadBd},
    {"start", ReadStart},
    {"route", ReadRoute},
    {"type", ReadType},
    {"kernel", ReadKernel},
    {"core", ReadCore},
    {"packet_route", ReadPacketRoute},
    {"data", ReadData},
    {"cascade", ReadCascade},
};

const Form& FormOf(Line& line) {
  const std::string kind = line.Word();
  for (const Form& form : kForms) {
    if (kind == form.kind) return form;
  }
  line.Fail("is of no known kind");
}

}  // namespace

std::string TileAt::Text() const {
  std::string text = "(";
  return text + std::to_string(column) + ", " + std::to_string(row) + ")";
}

int64_t TypeInfo::Bytes() const {
  int64_t bytes = ElementBytes(element);
  for (const int64_t size : shape) bytes *= size;
  return bytes;
}

double Configuration::Parameter(const std::string& name) const {
  const auto found = parameters.find(name);
  if (found == parameters.end()) {
    throw std::invalid_argument("the configuration lacks param " + name);
  }
  return found->second;
}

Configuration ParseConfiguration(const std::string& text) {
  Lines lines(text);
  if (lines.Next().Word() != kFormatName) {
    throw std::invalid_argument(std::string("a configuration begins with '") +
                                kFormatName + " " + kFormatVersion + "'");
  }
  Configuration configuration;
  while (!lines.IsAtEnd()) {
    Line line = lines.Next();
    if (line.is_empty()) continue;
    FormOf(line).read(line, lines, configuration);
    line.End();
  }
  return configuration;
}

}  // namespace jax_npu::sim
