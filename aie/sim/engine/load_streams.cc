// Routes with their ends, and cascades, from the configuration.
#include <memory>
#include <utility>

#include "aie/sim/engine/array.h"

namespace jax_npu::sim {

Channel& Array::ChannelAt(TileAt at, Direction direction, int number) {
  Tile& tile = At(at);
  if (number < 0 || number >= tile.limits->num_channels[direction]) {
    Inconsistent(tile.Name() + " has no such channel " + std::to_string(number));
  }
  return *tile.channels[direction][number];
}

void Array::LoadRoutes() {
  for (const RouteInfo& info : configuration.routes) {
    StreamPort* source = &PortAt(info.from, kMm2s, info.from_port);
    StreamPort* end = &PortAt(info.to, kS2mm, info.to_port);
    const bool is_circuit = info.packet_id == Route::kCircuit;
    if (is_circuit && info.to_port.kind == PortKind::kControl) {
      Inconsistent(end->Name() + " takes packets only, and a circuit ends there");
    }
    if (!end->routes.empty() &&
        (is_circuit || end->routes.front()->packet_id == Route::kCircuit)) {
      Inconsistent(end->Name() + " has two sources");
    }
    if (!is_circuit && (info.from_port.kind == PortKind::kCore ||
                        info.to_port.kind == PortKind::kCore)) {
      Inconsistent("packets from " + source->Name() + " to " + end->Name() +
                   ": cores send and get no packets here");
    }
    Route* route = RouteOf(*source, info.packet_id);
    if (is_circuit != (source->routes.front()->packet_id == Route::kCircuit)) {
      Inconsistent(source->Name() + " sends on a circuit and packets");
    }
    if (end->routes.empty() || end->routes.back() != route) {
      end->routes.push_back(route);
    }
    route->ends.push_back({end, info.hops, info.keeps_header});
    route->links += info.hops;
  }
}

StreamPort& Array::PortAt(TileAt at, Direction direction, const PortInfo& info) {
  if (info.kind == PortKind::kDma) return ChannelAt(at, direction, info.number);
  Tile& tile = At(at);
  if (info.kind == PortKind::kControl) {
    if (!tile.control) tile.control = std::make_unique<ControlPort>(*this, tile);
    if (direction == kS2mm) return *tile.control;
    return tile.control->answers;
  }
  if (info.kind == PortKind::kCore) {
    std::unique_ptr<CoreStream>& stream =
        direction == kMm2s ? tile.stream_out : tile.stream_in;
    if (tile.limits != &limits.core || info.number != 0) {
      Inconsistent(tile.Name() + " has no core stream " + std::to_string(info.number));
    }
    if (!stream) stream = std::make_unique<CoreStream>(*this, tile, direction);
    return *stream;
  }
  if (direction == kS2mm) {
    Inconsistent(tile.Name() + " has trace units, which only send");
  }
  for (const auto& unit : tile.trace_units) {
    if (unit->number == info.number) return *unit;
  }
  tile.trace_units.push_back(std::make_unique<TraceUnit>(
      *this, tile, info.number,
      tile.Name() + " trace unit " + std::to_string(info.number)));
  return *tile.trace_units.back();
}

Route* Array::RouteOf(StreamPort& source, int packet_id) {
  for (Route* route : source.routes) {
    if (route->packet_id == packet_id) return route;
  }
  routes.push_back(std::make_unique<Route>());
  Route* route = routes.back().get();
  route->source = &source;
  route->packet_id = packet_id;
  source.routes.push_back(route);
  if (packet_id == Route::kCircuit) source.route = route;
  return route;
}

void Array::CheckStreams() {
  for (const Tile& tile : tiles) {
    for (const auto* stream : {tile.stream_in.get(), tile.stream_out.get()}) {
      if (stream && !tile.core) Inconsistent(stream->Name() + " has no program");
    }
  }
}

void Array::LoadCascades() {
  for (const CascadeInfo& info : configuration.cascades) {
    Core *from = At(info.from).core.get(), *to = At(info.to).core.get();
    if (!from || !to) continue;  // nobody sends, or nobody takes
    if (from->cascade_to || to->cascade_from) {
      Inconsistent("two cascades at " + from->Name() + " or " + to->Name());
    }
    from->cascade_to = to;
    to->cascade_from = from;
  }
  for (const Tile& tile : tiles) {
    if (!tile.core) continue;
    for (const Instruction& instruction : tile.core->info.program) {
      if (instruction.op != Op::kCall) continue;
      const std::string& name = configuration.kernels[instruction.kernel].name;
      const Kernel& kernel = kernels->at(name);
      if ((kernel.cascade_in_bytes > 0 && !tile.core->cascade_from) ||
          (kernel.cascade_out_bytes > 0 && !tile.core->cascade_to)) {
        Inconsistent(tile.Name() + " calls " + name +
                     ", which uses a cascade that the design does not have");
      }
    }
  }
}

}  // namespace jax_npu::sim
