// The attributes of the custom calls: what jax_npu/lowering/attributes.py writes.
//
// Each struct has a table that binds every attribute's name to its field, and is
// decoded by name: the order of attributes and fields means nothing. A name or type
// that differs, or an attribute too few or too many, is an error of the call.

#ifndef JAX_NPU_XLA_FFI_ATTRIBUTES_H_
#define JAX_NPU_XLA_FFI_ATTRIBUTES_H_

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <tuple>

#include "xla/ffi/api/ffi.h"

namespace jax_npu {

namespace ffi = ::xla::ffi;
using Int64s = ffi::Span<const int64_t>;
using Words = ffi::Span<const uint32_t>;

// An attribute's name and the field that takes its value.
template <typename Struct, typename T>
struct Attribute {
  std::string_view name;
  T Struct::* field;
};

template <typename Struct, typename T>
Attribute(const char*, T Struct::*) -> Attribute<Struct, T>;

// The attributes of a struct, as a tuple of Attribute.
template <typename Struct>
constexpr std::tuple<> kAttributes;

// The product that every GEMM computes. A group of indices is four numbers for each of
// its axes, see Axis.
struct ProductAttributes {
  Int64s batch, m, k, n;
  Int64s lhs_parts, rhs_parts;  // see PartPairs
};

template <>
inline constexpr auto kAttributes<ProductAttributes> =
    std::tuple{Attribute{"batch", &ProductAttributes::batch},
               Attribute{"m", &ProductAttributes::m},
               Attribute{"k", &ProductAttributes::k},
               Attribute{"n", &ProductAttributes::n},
               Attribute{"lhs_parts", &ProductAttributes::lhs_parts},
               Attribute{"rhs_parts", &ProductAttributes::rhs_parts}};

// The product whose lhs or rhs is packed, which has no batch.
struct PackAttributes {
  Int64s m, k, n;
  bool is_lhs;
};

template <>
inline constexpr auto kAttributes<PackAttributes> = std::tuple{
    Attribute{"m", &PackAttributes::m}, Attribute{"k", &PackAttributes::k},
    Attribute{"n", &PackAttributes::n}, Attribute{"is_lhs", &PackAttributes::is_lhs}};

// An NpuPlan and the instructions of its runs.
struct PlanAttributes {
  int64_t block_m, block_n, padded_k;
  bool b_column_major, swapped;
  Int64s run_starts, run_grids;  // (runs, 3)
  Int64s run_num_words;          // (runs,)
  Words words;                   // of all runs, one after the other
};

template <>
inline constexpr auto kAttributes<PlanAttributes> =
    std::tuple{Attribute{"block_m", &PlanAttributes::block_m},
               Attribute{"block_n", &PlanAttributes::block_n},
               Attribute{"padded_k", &PlanAttributes::padded_k},
               Attribute{"b_column_major", &PlanAttributes::b_column_major},
               Attribute{"swapped", &PlanAttributes::swapped},
               Attribute{"run_starts", &PlanAttributes::run_starts},
               Attribute{"run_grids", &PlanAttributes::run_grids},
               Attribute{"run_num_words", &PlanAttributes::run_num_words},
               Attribute{"words", &PlanAttributes::words}};

// What a GEMM on an NPU takes beside the product.
struct NpuAttributes : ProductAttributes {
  PlanAttributes plan;
  PlanAttributes self_test;     // of one run, on a batch of two
  std::string_view library;     // path of the driver
  std::string_view design;      // path of the file that the driver loads
  std::string_view arithmetic;  // that the design was built for
  std::string_view check;       // see CheckMode
  bool strict;                  // see CheckPolicy
};

template <>
inline constexpr auto kAttributes<NpuAttributes> =
    std::tuple_cat(kAttributes<ProductAttributes>,
                   std::tuple{Attribute{"plan", &NpuAttributes::plan},
                              Attribute{"self_test", &NpuAttributes::self_test},
                              Attribute{"library", &NpuAttributes::library},
                              Attribute{"design", &NpuAttributes::design},
                              Attribute{"arithmetic", &NpuAttributes::arithmetic},
                              Attribute{"check", &NpuAttributes::check},
                              Attribute{"strict", &NpuAttributes::strict}});

template <typename Struct>
Struct DecodeAttributes(const ffi::Dictionary& dictionary);

template <typename T>
T DecodeAttribute(const ffi::Dictionary& dictionary, std::string_view name) {
  constexpr bool kIsStruct = std::tuple_size_v<decltype(kAttributes<T>)> != 0;
  using Raw = std::conditional_t<kIsStruct, ffi::Dictionary, T>;
  ffi::ErrorOr<Raw> value = dictionary.get<Raw>(name);
  if (value.has_error()) {
    throw std::invalid_argument("attribute " + std::string(name) + ": " +
                                value.error().message());
  }
  if constexpr (kIsStruct) {
    return DecodeAttributes<T>(*value);
  } else {
    return *value;
  }
}

// Throws std::invalid_argument where names or types are not those of the struct.
template <typename Struct>
Struct DecodeAttributes(const ffi::Dictionary& dictionary) {
  Struct decoded{};
  std::apply(
      [&](const auto&... attribute) {
        if (dictionary.size() != sizeof...(attribute)) {
          throw std::invalid_argument(std::to_string(sizeof...(attribute)) +
                                      " attributes are needed, got " +
                                      std::to_string(dictionary.size()));
        }
        const auto decode = [&](const auto& one) {
          auto& field = decoded.*one.field;
          field = DecodeAttribute<std::decay_t<decltype(field)>>(dictionary, one.name);
        };
        (decode(attribute), ...);
      },
      kAttributes<Struct>);
  return decoded;
}

}  // namespace jax_npu

#endif  // JAX_NPU_XLA_FFI_ATTRIBUTES_H_
