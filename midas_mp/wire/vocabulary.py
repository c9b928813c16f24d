"""Who may say what to whom: all messages there are, and whose they are."""

from __future__ import annotations

from typing import Final

from midas_mp.wire.local import (
    LoadScript,
    ReleaseBlobs,
    ResultsStored,
    ScriptLoaded,
    SharedData,
    StoreResults,
    WorkerReady,
)
from midas_mp.wire.management import (
    Control,
    ControlAnswered,
    JobsListed,
    KillWorker,
    ListJobs,
    ListNodes,
    NodesListed,
    PauseJob,
    PauseWorker,
)
from midas_mp.wire.messages import (
    Acknowledge,
    BeginJob,
    CancelTasks,
    DropBundles,
    EndJob,
    FetchShared,
    Goodbye,
    Heartbeat,
    Hello,
    Invite,
    JobEnded,
    JobOpened,
    JobStarted,
    JobStatus,
    LimitTasks,
    Message,
    NodeLeaving,
    OfferShared,
    OpenJob,
    PutBundle,
    RecallTasks,
    Refused,
    Role,
    RunTasks,
    SharedHeld,
    SharedPart,
    TaskPrinted,
    TaskProgress,
    TaskResults,
    TaskRunning,
    TasksCancelled,
    TasksReturned,
    Welcome,
    WorkerDown,
    WorkerUp,
)

AnyMessage = (
    Hello
    | Welcome
    | Refused
    | Goodbye
    | Heartbeat
    | Invite
    | WorkerReady
    | WorkerUp
    | WorkerDown
    | NodeLeaving
    | ListNodes
    | NodesListed
    | OpenJob
    | JobOpened
    | JobStarted
    | JobStatus
    | JobEnded
    | BeginJob
    | EndJob
    | PutBundle
    | DropBundles
    | LimitTasks
    | RunTasks
    | TaskResults
    | RecallTasks
    | TasksReturned
    | CancelTasks
    | TasksCancelled
    | TaskPrinted
    | TaskProgress
    | TaskRunning
    | Acknowledge
    | Control
    | ControlAnswered
    | ListJobs
    | JobsListed
    | PauseJob
    | PauseWorker
    | KillWorker
    | OfferShared
    | FetchShared
    | SharedPart
    | SharedHeld
    | SharedData
    | ReleaseBlobs
    | LoadScript
    | ScriptLoaded
    | StoreResults
    | ResultsStored
)

VOCABULARY: Final[dict[tuple[Role, Role], tuple[type[Message], ...]]] = {
    (Role.LAUNCHER, Role.HOST): (
        Hello,
        WorkerUp,
        WorkerDown,
        NodeLeaving,
        TaskResults,
        TasksReturned,
        TaskPrinted,
        TaskProgress,
        TaskRunning,
        SharedHeld,
        Heartbeat,
        Goodbye,
    ),
    (Role.HOST, Role.LAUNCHER): (
        Welcome,
        Refused,
        Invite,
        BeginJob,
        EndJob,
        PutBundle,
        DropBundles,
        LimitTasks,
        OfferShared,
        RunTasks,
        RecallTasks,
        CancelTasks,
        PauseJob,
        PauseWorker,
        KillWorker,
        Heartbeat,
        Goodbye,
    ),
    (Role.CLIENT, Role.HOST): (
        Hello,
        OpenJob,
        EndJob,
        PutBundle,
        DropBundles,
        OfferShared,
        RunTasks,
        CancelTasks,
        Acknowledge,
        ListNodes,
        Control,
        ListJobs,
        Heartbeat,
        Goodbye,
    ),
    (Role.HOST, Role.CLIENT): (
        Welcome,
        Refused,
        Invite,
        JobOpened,
        JobStarted,
        JobStatus,
        JobEnded,
        TaskResults,
        TaskPrinted,
        TaskProgress,
        TaskRunning,
        TasksCancelled,
        FetchShared,
        SharedHeld,
        NodesListed,
        ControlAnswered,
        JobsListed,
        Heartbeat,
        Goodbye,
    ),
    (Role.BULK, Role.HOST): (Hello, FetchShared, SharedPart, Goodbye),
    (Role.HOST, Role.BULK): (Welcome, Refused, SharedPart, Goodbye),
    (Role.WORKER, Role.LAUNCHER): (
        WorkerReady,
        TaskResults,
        TasksReturned,
        ReleaseBlobs,
        ScriptLoaded,
        ResultsStored,
    ),
    (Role.LAUNCHER, Role.WORKER): (
        BeginJob,
        EndJob,
        PutBundle,
        DropBundles,
        SharedData,
        RunTasks,
        ReleaseBlobs,
        LoadScript,
        StoreResults,
    ),
    # Who else knocks at a host's door is heard, so that it can be told why it is turned away.
    (Role.WORKER, Role.HOST): (Hello,),
    (Role.HOST, Role.WORKER): (Refused,),
    (Role.HOST, Role.HOST): (Hello, Refused),
}
"""Which messages belong to each (speaker, listener)."""

WORKER_CHANNEL: Final = frozenset(
    {
        RunTasks,
        RecallTasks,
        CancelTasks,
        PauseWorker,
        KillWorker,
        TaskResults,
        TasksReturned,
        TaskPrinted,
        TaskProgress,
        TaskRunning,
    }
)
"""Between launcher and host these carry the channel of the worker they concern, 1 or more; all
else has channel 0.  A socketpair leads to one worker, so there the channel says nothing."""
