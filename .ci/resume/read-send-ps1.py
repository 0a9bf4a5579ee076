"""send.ps1 as the gateway serves it, read by a parser of PowerShell: no PowerShell itself comes from a registry that CI
reaches, so that it runs is for whoever has a Windows at hand. What can be seen without: that it is the language, that every
command it calls is its own or PowerShell 5's, that no variable is read that nothing sets (Set-StrictMode ends on one), and
that no request has more of the file than one piece.
Usage: read-send-ps1.py DEMO_JSON
"""

import json
import re
import sys
import urllib.request

import tree_sitter
import tree_sitter_powershell

OF_POWERSHELL = {
    "ConvertFrom-Json", "ForEach-Object", "Get-FileHash", "New-Object", "Resolve-Path", "Set-StrictMode", "Start-Sleep",
    "Test-Path", "Write-Host", "Write-Progress",
}
AUTOMATIC = {"_", "null", "true", "false", "matches", "erroractionpreference"}

# PowerShell 7.0 to 7.4 holds a request in memory until its end, and its stream takes less than 2 GiB.
PIECE_BYTES_MAX = 256 << 20
ONE_PIECE = {
    "$request.ContentLength": ["0", "$end - $offset"],
    "$left": ["$end - $offset"],
    "$end": ["[Math]::Min($offset + $pieceBytes, $state.Size)"],
}

parser = tree_sitter.Parser(tree_sitter.Language(tree_sitter_powershell.language()))


def nodes(node):
    yield node
    for child in node.children:
        yield from nodes(child)


def complaints(source):
    """What is wrong with it, a line each."""
    found = []
    tree = parser.parse(source.encode())
    own, called = set(), set()
    for node in nodes(tree.root_node):
        text = node.text.decode()
        if node.is_error or node.is_missing:
            found.append(f"line {node.start_point[0] + 1} cannot be read: {text[:60]!r}")
        elif node.type == "function_name":
            own.add(text)
        elif node.type == "command_name":
            called.add(text)
    found += [f"unknown command {name}" for name in sorted(called - own - OF_POWERSHELL)]
    found += [f"function {name} is never called" for name in sorted(own - called)]
    # Comments name variables, too.
    code = re.sub(r"(?m)^\s*#.*$", "", source)
    name = r"\$(?:script:)?\{?(\w+)\}?"
    parameters = " ".join(re.findall(r"(?s)(?:\nparam|function [\w-]+)\((.*?)\)(?:\n| \{)", code))
    known = set(re.findall(name + r"\s*[-+]?=", code)) | set(re.findall(r"foreach \(" + name + " in", code))
    known |= set(re.findall(name, parameters))
    known = {each.lower() for each in known} | AUTOMATIC
    read = {each.lower() for each in re.findall(name, re.sub(r"\$env:\w+", "", code))}
    found += [f"${each} is never set" for each in sorted(read - known)]
    piece = re.search(r"(?m)^\$pieceBytes = ([0-9]+)$", code)
    if piece is None or int(piece[1]) > PIECE_BYTES_MAX:
        found.append(f"no $pieceBytes of at most {PIECE_BYTES_MAX}")
    for variable, values in ONE_PIECE.items():
        given = re.findall(rf"(?m)^ *{re.escape(variable)} = (.*)$", code)
        found += [f"{variable} = {each}: is it one piece?" for each in given if each not in values]
        found += [] if values[-1] in given else [f"{variable} is never one piece"]
    return found


link = json.load(open(sys.argv[1]))["links"]["acme"]["url"]
with urllib.request.urlopen(f"{link}/send.ps1") as answer:
    served = answer.read().decode()
assert link in served, "the script does not know its link"
assert complaints(served) == [], complaints(served)
# It can fail.
for good, bad in [
    ("if (", "if (("),
    ("Send-Bytes $request", "Send-Byte $request"),
    ("$left -= $count", "$left -= $counted"),
    ("$request.ContentLength = $end -", "$request.ContentLength = $size -"),
    ("$end = [Math]::Min($offset + $pieceBytes, $state.Size)", "$end = $state.Size"),
]:
    assert good in served and complaints(served.replace(good, bad, 1)), f"{bad!r} is not noticed"
print(f"{len(served.splitlines())} lines parsed; not run: there is no PowerShell here")
