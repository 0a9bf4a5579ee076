# tuspy, unchanged: 25 MB in chunks with checksums; the process dies after 10, and another resumes with what the first
# noted. Usage: python with-tuspy.py DEMO_JSON
import hashlib, json, os, subprocess, sys, tempfile, urllib.request

from tusclient.client import TusClient
from tusclient.storage.filestorage import FileStorage

link = json.load(open(sys.argv[1]))["links"]["acme"]["url"]


def uploader(folder):
    return TusClient(f"{link}/uploads").uploader(
        f"{folder}/by-tuspy.bin",
        chunk_size=5_000_000,
        metadata={"filename": "by-tuspy.bin"},
        upload_checksum=True,
        store_url=True,
        url_storage=FileStorage(f"{folder}/noted.json"),
        retries=3,
        retry_delay=1,
    )


if len(sys.argv) > 2:
    uploader(sys.argv[2]).upload(stop_at=10_000_000)
    os._exit(9)

with tempfile.TemporaryDirectory() as folder:
    data = os.urandom(25_000_000)
    with open(f"{folder}/by-tuspy.bin", "wb") as file:
        file.write(data)
    assert subprocess.run([sys.executable, __file__, sys.argv[1], folder]).returncode == 9
    upload = uploader(folder)
    assert upload.offset == 10_000_000, upload.offset
    upload.upload()
    request = urllib.request.Request(upload.url, headers={"Accept": "application/json"})
    receipt = json.load(urllib.request.urlopen(request))
    assert receipt["sha256"] == hashlib.sha256(data).hexdigest(), receipt
    assert (receipt["size"], receipt["name"]) == (len(data), "by-tuspy.bin"), receipt
    print("resumed from 10000000")
