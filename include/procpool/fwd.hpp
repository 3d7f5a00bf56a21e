// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Declarations of the public types, for headers that only name them: in declarations of functions,
// references, pointers, and members behind a pointer. Includes nothing.
// <procpool.hpp>, or the header of the type, has the definition.
//
// Not here are types that nobody writes down, because `auto` takes them: Stream, AsCompleted.

namespace procpool::inline v0_1 {

// pools
class ProcessPool;
class PoolView;
class OutcomeView;
struct PoolOptions;
struct StartOptions;
struct LifetimeOptions;
struct Limits;
struct ShutdownOptions;
struct PlacementOptions;
struct OutputOptions;
class BoundCall;
class PoolEngine;
struct MpiOptions;
enum class OnHostLost : unsigned char;
enum class Start;
enum class Output;
enum class End;
struct Stats;
struct Summary;
class Histogram;
struct WorkerStats;
struct RunningElement;
struct Event;
enum class EventKind;
enum class LogLevel : unsigned char;

// calls
struct CallOptions;
struct Retries;
class ThrownTypes;
class Key;
class Count;
class Deadline;
enum class OnError;
enum class WhenFull;
enum class Cancel;
struct Progress;
template <class T>
class Future;
template <class T>
class Promise;
template <class R>
class Results;
template <class T>
class Outcome;
class Failure;
struct ElementTimes;
enum class FailureKind;
template <class R>
struct Indexed;
template <class Values>
struct Timed;
struct SliceTiming;
template <class Futures>
struct WhenAny;

// processes and actors
template <class R>
class Process;
struct ProcessOptions;
template <class T>
class Actor;
template <class T>
class ActorView;
struct ActorOptions;

// handles, and what a worker keeps
template <class T>
class Shared;
template <class T>
class SharedArray;
template <class T>
class SharedValue;
template <class T>
class SharedObject;
template <class T>
class Queue;
struct QueueOptions;
template <class T, class U = T>
class PipeEnd;
template <class T>
class WorkerLocal;

namespace this_task {
class RandomStream;
}

// errors
class Error;
class SerializationError;
struct Origin;
class RemoteError;
template <class E>
class FromWorker;
struct StackFrame;
struct WorkerDeath;
class WorkerDied;
class TaskTimeout;
class TaskCancelled;
class PoolClosed;
class ActorDied;
class QueueFull;
class QueueClosed;
class PipeClosed;
class QueueBroken;
class HolderDied;
class StillShared;
class SetupError;
class BadMessage;
class HostLost;
struct ElementError;
class ElementErrors;

}  // namespace procpool::inline v0_1
