#!/usr/bin/python3
"""Services are found, described and called through reflection alone, by a client with no .proto of
ours, and by grpcurl where it is there or Go can build it."""

import base64
import json
import os
import shutil
import subprocess
import unittest

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool

from local_cluster import ROOT, LocalCluster, Messages, channel, message_class

SERVICES = {"annulus.kv.v1.KVStore", "annulus.admin.v1.Admin", "grpc.health.v1.Health"}
GRPCURL = "github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.3"


class Reflector:
    """A reflection client of one version ("v1" or "v1alpha")."""

    def __init__(self, link, version):
        package = f"grpc.reflection.{version}"
        messages = Messages(f"grpc/reflection/{version}/reflection.proto")
        self.request = messages[f"{package}.ServerReflectionRequest"]
        self.call = link.stream_stream(f"/{package}.ServerReflection/ServerReflectionInfo",
                                       request_serializer=self.request.SerializeToString,
                                       response_deserializer=messages[
                                           f"{package}.ServerReflectionResponse"].FromString)

    def ask(self, **question):
        return next(self.call(iter([self.request(**question)]), timeout=10))

    def services(self):
        return {service.name for service in self.ask(list_services="").list_services_response.service}

    def pool_of(self, symbol):
        """A descriptor pool with the file that declares the symbol, and what that imports."""
        pool = descriptor_pool.DescriptorPool()
        added = set()

        def add(file):
            if file.name in added:
                return
            added.add(file.name)
            for wanted in file.dependency:
                add(self._file(self.ask(file_by_filename=wanted), wanted))
            pool.Add(file)

        answer = self.ask(file_containing_symbol=symbol)
        for raw in answer.file_descriptor_response.file_descriptor_proto:
            add(descriptor_pb2.FileDescriptorProto.FromString(raw))
        return pool

    @staticmethod
    def _file(answer, name):
        files = map(descriptor_pb2.FileDescriptorProto.FromString,
                    answer.file_descriptor_response.file_descriptor_proto)
        return next(file for file in files if file.name == name)


def call(link, pool, service, method, /, **fields):
    """Calls a unary method that is known only from the pool."""
    described = pool.FindServiceByName(service).FindMethodByName(method)
    request = message_class(pool, described.input_type.full_name)
    answer = message_class(pool, described.output_type.full_name)
    send = link.unary_unary(f"/{service}/{method}", request_serializer=request.SerializeToString,
                            response_deserializer=answer.FromString)
    return send(request(**fields), timeout=10)


def find_grpcurl():
    """The path of grpcurl, built by Go into build/tools when it is not installed. None if neither."""
    built = ROOT / "build/tools/grpcurl"
    found = shutil.which("grpcurl") or (str(built) if built.exists() else None)
    if found or not shutil.which("go"):
        return found
    done = subprocess.run(["go", "install", GRPCURL], env={**os.environ, "GOBIN": str(built.parent)},
                          capture_output=True, timeout=300)
    return str(built) if done.returncode == 0 else None


class Reflection(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.cluster = cls.enterClassContext(LocalCluster())
        cls.address = cls.cluster.nodes[0]["client"]
        cls.link = cls.enterClassContext(channel(cls.address))

    def test_services_are_listed_described_and_called(self):
        for version in ("v1", "v1alpha"):
            with self.subTest(version):
                reflector = Reflector(self.link, version)
                self.assertLessEqual(SERVICES, reflector.services())
                pool = reflector.pool_of("annulus.kv.v1.KVStore")
                call(self.link, pool, "annulus.kv.v1.KVStore", "Put", key=version.encode(), value=b"seen")
                read = call(self.link, pool, "annulus.kv.v1.KVStore", "Get", key=version.encode())
                self.assertEqual([b"seen"], [sibling.value for sibling in read.siblings])
                admin = reflector.pool_of("annulus.admin.v1.Admin")
                self.assertTrue(call(self.link, admin, "annulus.admin.v1.Admin", "Status").ready)

    def test_an_unknown_symbol_is_an_error_not_a_crash(self):
        for version in ("v1", "v1alpha"):
            answer = Reflector(self.link, version).ask(file_containing_symbol="no.such.Symbol")
            self.assertEqual(grpc.StatusCode.NOT_FOUND.value[0], answer.error_response.error_code)

    def test_health_is_served_per_service(self):
        pool = Reflector(self.link, "v1").pool_of("grpc.health.v1.Health")
        for service in ("", "annulus.kv.v1.KVStore"):
            answer = call(self.link, pool, "grpc.health.v1.Health", "Check", service=service)
            self.assertEqual(1, answer.status)  # SERVING
        with self.assertRaises(grpc.RpcError) as unknown:
            call(self.link, pool, "grpc.health.v1.Health", "Check", service="no.such.Service")
        self.assertEqual(grpc.StatusCode.NOT_FOUND, unknown.exception.code())

    def test_grpcurl_lists_describes_and_calls(self):
        grpcurl = find_grpcurl()
        if not grpcurl:
            self.skipTest("no grpcurl here, and no Go that can build it")

        def ask(*arguments):
            return subprocess.run([grpcurl, "-plaintext", *arguments], check=True, capture_output=True,
                                  text=True, timeout=30).stdout

        self.assertLessEqual(SERVICES, set(ask(self.address, "list").split()))
        self.assertIn("rpc Put", ask(self.address, "describe", "annulus.kv.v1.KVStore"))
        key, value = (base64.b64encode(text).decode() for text in (b"from grpcurl", b"hello"))
        ask("-d", json.dumps({"key": key, "value": value}), self.address, "annulus.kv.v1.KVStore/Put")
        read = json.loads(ask("-d", json.dumps({"key": key}), self.address, "annulus.kv.v1.KVStore/Get"))
        self.assertEqual([value], [sibling["value"] for sibling in read["siblings"]])


if __name__ == "__main__":
    unittest.main()
