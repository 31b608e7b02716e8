"""The suite's fuzzing server, for Python 2.7: `python2.7 suite.py SITE PORT RESULTS`.

SITE is the folder in which the suite is installed. RESULTS gets a line of JSON with the names of
all cases as soon as the server listens, and one for each case that has ended, with its first steps:
`["s", hexadecimal digits]` was sent, `["r", operation code, hexadecimal digits]` is a frame that
was received (inflated).
"""

import binascii
import json
import re
import site
import sys

LARGEST = 600000
"""Octets of a case whose steps are told; of the others none."""
BEGINNING = 40000
"""Octets of a compressed case whose steps are told."""
EXTENSIONS = re.compile("Sec-WebSocket-Extensions: ([^\r\n]*)")


def main(place, port, results):
    """Serves all cases on the loopback interface until it is ended."""
    site.addsitedir(place)
    from autobahntestsuite import fuzzing
    from twisted.internet import reactor

    class Protocol(fuzzing.FuzzingServerProtocol):
        def connectionMade(self):
            self.steps = []
            self.octets = 0
            fuzzing.FuzzingServerProtocol.connectionMade(self)

        def tell(self, step, octets):
            self.octets += octets
            limit = LARGEST if self._perMessageCompress is None else BEGINNING
            if self.connectionWasOpen and self.octets < limit:
                self.steps.append(step)

        def logTxOctets(self, data, sync):
            self.tell(["s", binascii.b2a_hex(data)], len(data))

        def logRxFrame(self, header, payload):
            payload = "".join(payload)
            self.tell(["r", header.opcode, binascii.b2a_hex(payload)], len(payload))

        def connectionLost(self, reason):
            fuzzing.FuzzingServerProtocol.connectionLost(self, reason)
            case = self.runCase
            if case is None:
                return
            extensions = EXTENSIONS.search(self.http_response_data)
            line = {
                "id": self.factory.CaseSet.caseClasstoId(self.Case),
                "behavior": case.behavior,
                "close": case.behaviorClose,
                "code": self.remoteCloseCode,
                "result": str(case.result) + "; " + str(case.resultClose),
                "extensions": extensions.group(1) if extensions else "",
                "ended_by_server": bool(self.droppedByMe),
                "is_whole": self.octets < LARGEST,
                "steps": self.steps,
            }
            with open(results, "a") as out:
                out.write(json.dumps(line) + "\n")

    class Factory(fuzzing.FuzzingServerFactory):
        protocol = Protocol

    spec = {"url": "ws://127.0.0.1:" + port, "cases": ["*"], "exclude-cases": []}
    spec["exclude-agent-cases"] = {}
    factory = Factory(spec)
    reactor.listenTCP(int(port), factory, interface="127.0.0.1")
    with open(results, "w") as out:
        out.write(json.dumps({"cases": factory.specCases}) + "\n")
    reactor.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
