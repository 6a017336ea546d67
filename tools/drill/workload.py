"""A recorded workload: sets, registers and keys that are deleted and created again.

Open loop: steps begin when they are due, whatever became of earlier ones, and latency counts from then.
Every value is unique. Each RPC is sent once; nothing is retried.

    set       read, then write all elements that were read and a new one, with the read's context
    register  a session reads and writes with the last context that it was handed
    reborn    the same with deletes in between
    strict    reads and writes with sloppy=false, by anybody: no read shows less than one before it. They
              may fail where too few owners are left.
"""

import collections
import random
import threading
import time

import grpc

import rpc
from history import APPLIED, Call, Context, Read, Write, elements_of, set_value

SESSIONS = 3  # that share a key
RPC_SECONDS = 5
AVOID_SECONDS = 0.5  # how long an endpoint without a connection is left alone
FORWARDED = "forward"


class Endpoints:
    """Stubs of live coordinators, one after the other; one whose connection failed is left out a while."""

    def __init__(self, addresses):
        self.channels = [rpc.channel(address) for address in addresses]
        self.stubs = [rpc.kv_grpc.KVStoreStub(channel) for channel in self.channels]
        self.avoid_until = [0.0] * len(self.stubs)
        self.turn = 0

    def next(self):
        now = time.monotonic()
        for _ in self.stubs:
            self.turn = (self.turn + 1) % len(self.stubs)
            if self.avoid_until[self.turn] <= now:
                break
        return self.turn, self.stubs[self.turn]

    def failed(self, index):
        self.avoid_until[index] = time.monotonic() + AVOID_SECONDS

    def close(self):
        for channel in self.channels:
            channel.close()


class Workload:
    """One run, from start() to stop()."""

    def __init__(self, addresses, history, bucket, seed, keys=60, rate=200):
        self.endpoints, self.history, self.bucket, self.rate = Endpoints(addresses), history, bucket, rate
        self.random = random.Random(seed)
        self.steps = [(step, b"%s-%d" % (name, i))
                      for name, step in ((b"set", self._add), (b"register", self._register), (b"reborn", self._reborn),
                                      (b"strict", self._strict))
                      for i in range(keys // 4)]
        self.contexts = collections.defaultdict(Context)  # by (key, session)
        self.strictly_there = collections.defaultdict(frozenset)  # by key: what strict operations saw or wrote
        self.names = 0
        self.under_way = 0
        self.idle = threading.Condition()
        self.ending = threading.Event()
        self.began = None
        self.thread = threading.Thread(target=self._run, daemon=True)

    def start(self):
        self.began = time.monotonic()
        self.thread.start()

    def now(self):
        return time.monotonic() - self.began

    def stop(self):
        """Begins nothing more, and waits for what is under way."""
        self.ending.set()
        self.thread.join()
        with self.idle:
            self.idle.wait_for(lambda: self.under_way == 0, timeout=4 * RPC_SECONDS)
        self.endpoints.close()

    def _run(self):
        number = 0
        while not self.ending.is_set():
            due = number / self.rate
            wait = due - self.now()
            if wait > 0 and self.ending.wait(wait):
                break
            step, key = self.random.choice(self.steps)
            step(key, self.random.randrange(SESSIONS), due)
            number += 1

    # --- steps ------------------------------------------------------------------------------------

    def _add(self, key, _session, due):
        def write(context, values):
            element = self._name(key)
            known = set().union(*map(elements_of, values)) | {element}
            self._write(key, set_value(element, known), context, self.now(), element=element)
        self._read(key, due, then=write)

    def _register(self, key, session, due):
        chance = self.random.random()
        mine = self.contexts[key, session]
        if chance < 0.35:
            self._read(key, due, then=self._keep(key, session))
        elif chance < 0.5:
            self._read(key, due, at_least=mine, then=self._keep(key, session))
        else:
            self._write(key, self._name(key), mine, due, then=self._keep(key, session))

    def _reborn(self, key, session, due):
        chance = self.random.random()
        mine = self.contexts[key, session]
        if chance < 0.4:
            self._read(key, due, then=self._keep(key, session))
        elif chance < 0.65 and mine.token:
            self._write(key, self._name(key), mine, due, delete=True, then=self._keep(key, session))
        else:
            # Now and then by somebody who has seen nothing.
            context = mine if chance < 0.95 else Context()
            self._write(key, self._name(key), context, due, then=self._keep(key, session))

    def _strict(self, key, session, due):
        there = self.strictly_there[key]

        def see(context, values):
            self.contexts[key, session] = context
            with self.idle:  # any lock: answers come on several threads
                self.strictly_there[key] |= frozenset(values)
        if self.random.random() < 0.6:
            self._read(key, due, then=see, strict=True, shows=there)
        else:
            value = self._name(key)
            self._write(key, value, self.contexts[key, session], due, strict=True,
                        then=lambda context, _values: see(context, (value,)))

    def _keep(self, key, session):
        def keep(context, _values):
            self.contexts[key, session] = context
        return keep

    def _name(self, key):
        self.names += 1
        return b"%s.%d" % (key, self.names)

    # --- single RPCs ------------------------------------------------------------------------------

    def _read(self, key, due, then, at_least=Context(), strict=False, shows=frozenset()):
        request = rpc.kv.GetRequest(bucket=self.bucket, key=key,
                                    options=rpc.kv.ReadOptions(consistency=rpc.kv.CONSISTENCY_QUORUM,
                                                               sloppy=not strict, at_least=at_least.token))

        def done(response, _error):
            if response is None:
                return
            values = tuple(sibling.value for sibling in response.siblings)
            self.history.add_read(Read(key, values, at_least.covers | shows, self.now()))
            then(Context(response.context, frozenset(values)), values)
        self._call("get", request, due, done, strict)

    def _write(self, key, value, context, due, then=None, delete=False, element=b"", strict=False):
        write = Write(key, value, context.covers, delete, element, began=self.now())
        options = rpc.kv.WriteOptions(consistency=rpc.kv.CONSISTENCY_QUORUM, sloppy=not strict, explain=True)
        if delete:
            request = rpc.kv.DeleteRequest(bucket=self.bucket, key=key, context=context.token, options=options)
        else:
            request = rpc.kv.PutRequest(bucket=self.bucket, key=key, value=value, context=context.token,
                                        options=options)
        # Before it is sent: what is read while it is under way was not invented.
        self.history.add_write(write)

        def done(response, error):
            if response is None:
                write.outcome = rpc.outcome_of(error)
                return
            write.outcome = APPLIED
            write.several_minters = sum(hop.kind == FORWARDED for hop in response.explain.hops) > 1
            if then is not None:
                then(Context(response.context, context.covers | {value}), ())
        self._call("delete" if delete else "put", request, due, done, strict)

    def _call(self, kind, request, due, done, strict=False):
        index, stub = self.endpoints.next()
        with self.idle:
            self.under_way += 1
        method = {"get": stub.Get, "put": stub.Put, "delete": stub.Delete}[kind]
        future = method.future(request, timeout=RPC_SECONDS)

        def ended(future):
            response, error = None, None
            try:
                response = future.result()
            except grpc.RpcError as caught:
                error = caught
                if error.code() == grpc.StatusCode.UNAVAILABLE and rpc.is_of_the_connection(error):
                    self.endpoints.failed(index)
            self.history.add_call(Call(due, self.now(), kind, rpc.describe(error) if error else "", strict))
            try:
                done(response, error)
            finally:
                with self.idle:
                    self.under_way -= 1
                    self.idle.notify_all()
        future.add_done_callback(ended)
