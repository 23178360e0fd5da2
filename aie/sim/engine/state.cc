// The state of the whole array as JSON, for those who look for a mistake in a design.
#include "aie/json.h"
#include "aie/sim/engine/array.h"

namespace jax_npu::sim {
namespace {

void WriteTile(JsonWriter& json, TileAt at) {
  json.Member("column", at.column);
  json.Member("row", at.row);
}

void WriteAgent(JsonWriter& json, const Agent& agent, Cycles now) {
  json.Member("name", agent.Name());
  json.Member("does", agent.doing == nullptr ? "nothing" : agent.doing);
  json.Member("waits", agent.waiting == Wait::kNothing ? 0 : 1);
  json.Member("for_cycles", now - agent.doing_since);
  if (agent.lock != nullptr) {
    json.Member("lock", agent.lock->Name());
    json.Member("lock_value", agent.lock->value);
    json.Member("lock_wanted", agent.lock_demand.value);
  }
}

void WriteChannel(JsonWriter& json, const Channel& channel) {
  json.Member("bd", channel.bd);
  json.Member("bytes_left", 4 * channel.words_left);
  json.Key("tasks");  // the first runs
  json.BeginArray();
  for (const Task& task : channel.queue) {
    json.BeginObject();
    json.Member("bd", task.bd);
    json.Member("repeats", task.repeats);
    json.Member("word", task.word);
    json.EndObject();
  }
  json.EndArray();
}

}  // namespace

std::string Array::StateJson() const {
  JsonWriter json;
  json.BeginObject();
  json.Member("cycle", scheduler.now());
  json.Member("word", controller->word);
  json.Key("agents");
  json.BeginArray();
  for (const Agent* agent : Agents()) {
    json.BeginObject();
    WriteAgent(json, *agent, scheduler.now());
    if (const auto* channel = dynamic_cast<const Channel*>(agent)) {
      WriteChannel(json, *channel);
    }
    if (const auto* core = dynamic_cast<const Core*>(agent)) {
      json.Member("instruction", core->next);
    }
    json.EndObject();
  }
  json.EndArray();
  json.Key("locks");
  json.BeginArray();
  for (const Tile& tile : tiles) {
    for (const Lock& lock : tile.locks) {
      if (lock.name.empty() && lock.value == lock.init) continue;
      json.BeginObject();
      json.Member("name", lock.name);
      WriteTile(json, tile.at);
      json.Member("id", lock.id);
      json.Member("value", lock.value);
      json.Member("init", lock.init);
      json.EndObject();
    }
  }
  json.EndArray();
  json.Key("buffers");
  json.BeginArray();
  for (const BufferInfo& buffer : configuration.buffers) {
    const TileMemory& memory =
        *tiles[buffer.tile.column * limits.num_rows + buffer.tile.row].memory;
    json.BeginObject();
    json.Member("name", buffer.name);
    WriteTile(json, buffer.tile);
    json.Member("address", buffer.address);
    json.Member("bytes", buffer.bytes);
    // The first byte that nothing has written, or -1.
    const int64_t unwritten =
        memory.FirstUnwritten(buffer.address, buffer.address + buffer.bytes);
    json.Member("unwritten", unwritten < 0 ? -1 : unwritten - buffer.address);
    json.EndObject();
  }
  json.EndArray();
  json.EndObject();
  return json.Text();
}

}  // namespace jax_npu::sim
