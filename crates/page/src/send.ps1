# Sends files to support through an upload link. Run it again after an interruption, even after it was killed: it resumes.
# Needs Windows PowerShell 5 or newer, nothing else.
#
# A preview: it has been read by a parser, and never been run on PowerShell yet. Windows 10 and later include curl.exe, which sends a file, too:
#
#   curl.exe --fail-with-body --retry 5 -T FILE -o receipt.txt "LINK"
#
#   powershell -ExecutionPolicy Bypass -File send.ps1 [-Ticket NUMBER] FILE...
#
# Receipts go to the output, everything else to the host. Ends with 0 only when every file has arrived.
# WEIGHBRIDGE_LINK_TOKEN   the link's token, where the address of this script does not hold it (/u/-/send.ps1)
# WEIGHBRIDGE_PATIENCE     seconds to wait without any progress before giving up; 86400, or 300 while nothing answers
param(
    [Parameter(Position = 0, ValueFromRemainingArguments = $true)] [string[]] $Files,
    [string] $Ticket = ''
)
Set-StrictMode -Version 2
$ErrorActionPreference = 'Stop'

$link = '@LINK@'
$pauseMax = 60
$bufferBytes = 1048576
# A file goes in pieces: PowerShell 7.0 to 7.4 holds all of a request in memory before it sends any, and at most 2 GiB.
$pieceBytes = 134217728
$script:reached = $false
$headers = @{}

# Older versions of .NET do not offer TLS 1.2 by themselves.
[Net.ServicePointManager]::SecurityProtocol = [Net.ServicePointManager]::SecurityProtocol -bor 3072

function Say([string] $text) { Write-Host "send.ps1: $text" }

# A member of a problem, or nothing.
function Get-Member-Of($json, [string] $name) {
    if ($null -eq $json) { return '' }
    $found = $json.PSObject.Properties[$name]
    if ($null -eq $found -or $null -eq $found.Value) { return '' }
    return [string] $found.Value
}

# An answer, read to its end. Verdict: ok, again (worth another try), gone (no such upload), refused.
function Read-Answer($response) {
    $reader = New-Object IO.StreamReader($response.GetResponseStream(), [Text.Encoding]::UTF8)
    try { $text = $reader.ReadToEnd() } finally { $reader.Dispose() }
    $status = [int] $response.StatusCode
    $problem = $null
    if ($status -ge 400) { try { $problem = ConvertFrom-Json $text } catch { $problem = $null } }
    $type = Get-Member-Of $problem 'type'
    $why = Get-Member-Of $problem 'detail'
    if ($why -eq '') { $why = "the server answered with status $status" }
    if ($type -like '*/ticket-required') { $why = 'This link is not bound to a ticket. Name it: send.ps1 -Ticket NUMBER FILE...' }
    $verdict = 'refused'
    if ($status -ge 200 -and $status -lt 300) { $verdict = 'ok' }
    elseif ($status -ge 500 -or $status -eq 408 -or $status -eq 425 -or $status -eq 429) { $verdict = 'again' }
    elseif ($type -like '*interrupted' -or $type -like '*mismatching-upload-offset') { $verdict = 'again' }
    elseif ($type -like '*upload-gone' -or ($status -eq 404 -and $type -eq 'about:blank')) { $verdict = 'gone' }
    $script:reached = $true
    return @{ Status = $status; Verdict = $verdict; Why = $why; Text = $text; Headers = $response.Headers }
}

# One request. With a file it sends what lies between the offset and the end.
function Send-Request([string] $method, [string] $path, $more, [string] $file, [long] $offset, [long] $end, [long] $size) {
    $response = $null
    try {
        $request = [Net.HttpWebRequest] [Net.WebRequest]::Create($link + $path)
        $request.Method = $method
        $request.AllowAutoRedirect = $false
        $request.Timeout = 120000
        $request.ReadWriteTimeout = 120000
        foreach ($name in $headers.Keys) { $request.Headers.Add($name, $headers[$name]) }
        foreach ($name in $more.Keys) { $request.Headers.Add($name, $more[$name]) }
        if ($method -eq 'POST') {
            $request.ContentType = 'application/partial-upload'
            $request.ContentLength = 0
        }
        if ($method -eq 'PUT') {
            # PowerShell 7 counts the time of sending, too.
            $request.Timeout = 600000
            $request.AllowWriteStreamBuffering = $false
            $request.ContentLength = $end - $offset
            if ($end -gt $offset) { Send-Bytes $request $file $offset $end $size }
        }
        $response = $request.GetResponse()
        return Read-Answer $response
    } catch {
        $cause = $_.Exception
        while ($null -ne $cause -and -not ($cause -is [Net.WebException])) { $cause = $cause.InnerException }
        if ($null -ne $cause -and $null -ne $cause.Response) {
            $response = $cause.Response
            try { return Read-Answer $response } catch { $cause = $null }
        }
        $verdict = 'again'
        # A certificate that will not do now will not do later.
        if ($null -ne $cause -and $cause.Status -eq [Net.WebExceptionStatus]::TrustFailure) { $verdict = 'refused' }
        return @{ Status = 0; Verdict = $verdict; Why = $_.Exception.Message; Text = ''; Headers = $null }
    } finally {
        if ($null -ne $response) { $response.Close() }
    }
}

function Send-Bytes($request, [string] $file, [long] $offset, [long] $end, [long] $size) {
    $source = [IO.File]::Open($file, 'Open', 'Read', 'ReadWrite')
    try {
        $target = $request.GetRequestStream()
        try {
            [void] $source.Seek($offset, 'Begin')
            $buffer = New-Object byte[] $bufferBytes
            $left = $end - $offset
            while ($left -gt 0) {
                $count = $source.Read($buffer, 0, [int] [Math]::Min($left, $bufferBytes))
                if ($count -eq 0) { throw 'the file has become shorter' }
                $target.Write($buffer, 0, $count)
                $left -= $count
                $percent = [int] (100 * ($end - $left) / $size)
                Write-Progress -Activity "Sending $file" -Status "$($end - $left) of $size bytes" -PercentComplete $percent
            }
            $target.Close()
        } catch {
            # Closing a stream that is not full throws by itself: the request is ended instead.
            $request.Abort()
            throw
        }
    } finally {
        $source.Dispose()
    }
}

# The value of a header of an answer, or nothing.
function Get-Header($answer, [string] $name) {
    if ($null -eq $answer.Headers) { return '' }
    $value = $answer.Headers[$name]
    if ($null -eq $value) { return '' }
    return $value
}

# Waits longer and longer, or as long as the server asks. False when there was no progress for too long.
function Wait-For-Better($state, $answer) {
    $patience = 300
    if ($script:reached) { $patience = 86400 }
    if ($env:WEIGHBRIDGE_PATIENCE -match '^[0-9]{1,9}$') { $patience = [int] $env:WEIGHBRIDGE_PATIENCE }
    if ($state.Waited -ge $patience) {
        Say "$($state.Name): given up: $($answer.Why). Run the same command again to resume."
        return $false
    }
    $seconds = $state.Pause
    $asked = Get-Header $answer 'Retry-After'
    if ($asked -match '^[0-9]{1,4}$' -and [int] $asked -gt $seconds) { $seconds = [int] $asked }
    Say "$($state.Name): $($answer.Why); trying again in $seconds s"
    Start-Sleep -Seconds $seconds
    $state.Waited += $seconds
    $state.Pause = [Math]::Min($state.Pause * 2, $pauseMax)
    return $true
}

# Size first, then the time of the last change.
function Get-Stamp([string] $file) {
    $item = New-Object IO.FileInfo($file)
    if (-not $item.Exists) { return '' }
    return "$($item.Length) $($item.LastWriteTimeUtc.Ticks)"
}

# An unfinished upload is remembered beside its file, or with the user's settings where that cannot be.
function Get-Places([string] $file) {
    [IO.Path]::Combine([IO.Path]::GetDirectoryName($file), '.' + [IO.Path]::GetFileName($file) + '.weighbridge')
    if ($env:LOCALAPPDATA) {
        $hash = [Security.Cryptography.SHA256]::Create().ComputeHash([Text.Encoding]::UTF8.GetBytes($file))
        [IO.Path]::Combine($env:LOCALAPPDATA, 'weighbridge-' + [BitConverter]::ToString($hash).Replace('-', ''))
    }
}

function Save-State($state) {
    foreach ($place in Get-Places $state.File) {
        try {
            [IO.File]::WriteAllText($place, "$($state.Id) $Ticket-$($state.Stamp)")
            return
        } catch { continue }
    }
    Say "$($state.Name): its folder cannot be written: if this script stops, it will start over"
}

function Remove-State($state) {
    foreach ($place in Get-Places $state.File) { try { [IO.File]::Delete($place) } catch { continue } }
    $state.Id = ''
}

# Cancels what is unfinished; what has arrived stays.
function Stop-Upload([string] $id) {
    $answer = Send-Request 'HEAD' "uploads/$id" @{} '' 0 0 0
    if ($answer.Verdict -eq 'ok' -and (Get-Header $answer 'Upload-Complete') -eq '?0') {
        [void] (Send-Request 'DELETE' "uploads/$id" @{} '' 0 0 0)
    }
}

# The upload that was started before, if the file has not changed since.
function Restore-State($state) {
    foreach ($place in Get-Places $state.File) {
        if (-not [IO.File]::Exists($place)) { continue }
        $words = [IO.File]::ReadAllText($place).Trim() -split ' ', 2
        if ($words.Count -ne 2 -or $words[0] -notmatch '^[0-9A-Za-z]+$') { continue }
        if ($words[1] -eq "$Ticket-$($state.Stamp)") {
            $state.Id = $words[0]
        } elseif ($words[1].StartsWith("$Ticket-")) {
            Say "$($state.Name): has changed since the upload started; starting over"
            Stop-Upload $words[0]
        }
        return
    }
}

# Begins an upload without a byte, so that its address is known before any is sent. Answers the id, or nothing.
function New-Upload($state) {
    $encoded = ([Text.Encoding]::UTF8.GetBytes($state.Name) | ForEach-Object { '%' + $_.ToString('X2') }) -join ''
    $more = @{
        'Upload-Complete' = '?0'
        'Upload-Length' = [string] $state.Size
        'Content-Disposition' = "attachment; filename*=UTF-8''$encoded"
    }
    $path = 'uploads'
    if ($Ticket -ne '') { $path = "uploads?ticket=$Ticket" }
    while ($true) {
        $answer = Send-Request 'POST' $path $more '' 0 0 0
        if ($answer.Verdict -eq 'ok') {
            $id = ((Get-Header $answer 'Location') -split '/')[-1]
            if ($id -match '^[0-9A-Za-z]+$') { return $id }
            Say "$($state.Name): not sent: the answer is not one of an upload gateway. Check the link."
            return ''
        }
        if ($answer.Verdict -ne 'again') {
            Say "$($state.Name): not sent: $($answer.Why)"
            return ''
        }
        if (-not (Wait-For-Better $state $answer)) { return '' }
    }
}

# More has arrived than ever before: patience begins anew.
function Set-Progress($state, [long] $offset) {
    if ($offset -le $state.Furthest) { return }
    $state.Furthest = $offset
    $state.Pause = 1
    $state.Waited = 0
}

# Asks how far the upload has come, and sends the rest in pieces, until one is not answered as it should. Answers the last
# answer.
function Send-Rest($state) {
    if ($state.Offset -lt 0) {
        $answer = Send-Request 'HEAD' "uploads/$($state.Id)" @{} '' 0 0 0
        # A refusal of HEAD has no words.
        if ($answer.Verdict -ne 'ok' -and $answer.Verdict -ne 'again') {
            $answer = Send-Request 'GET' "uploads/$($state.Id)" @{} '' 0 0 0
        }
        $offset = Get-Header $answer 'Upload-Offset'
        if ($answer.Verdict -ne 'ok' -or $offset -notmatch '^[0-9]{1,15}$') {
            if ($answer.Verdict -eq 'ok') { $answer.Verdict = 'again' }
            return $answer
        }
        $state.Offset = [long] $offset
    }
    $offset = $state.Offset
    $state.Offset = -1
    Set-Progress $state $offset
    Say "$($state.Name): $offset of $($state.Size) bytes are there"
    while ($true) {
        $end = [Math]::Min($offset + $pieceBytes, $state.Size)
        # A range, not "all the rest": what ends too early by any accident is then kept, not refused.
        $more = @{ 'Upload-Offset' = [string] $offset }
        if ($offset -lt $end) { $more = @{ 'Content-Range' = "bytes $offset-$($end - 1)/$($state.Size)" } }
        $answer = Send-Request 'PUT' "uploads/$($state.Id)" $more $state.File $offset $end $state.Size
        # After any piece but the last the server says with 204 where the next begins.
        $next = Get-Header $answer 'Upload-Offset'
        if ($answer.Status -ne 204 -or $next -notmatch '^[0-9]{1,15}$' -or [long] $next -le $offset) { return $answer }
        if ((Get-Stamp $state.File) -ne $state.Stamp) { return $answer }
        $offset = [long] $next
        Set-Progress $state $offset
    }
}

# True when the receipt is that of the file.
function Test-Receipt($state, $answer) {
    if ($answer.Text -notmatch '(?m)^SHA-256 ([0-9a-f]{64})\r?$') {
        Say "$($state.Name): the answer is no receipt. Run the same command again to get it."
        return $false
    }
    $theirs = $Matches[1]
    $ours = (Get-FileHash -LiteralPath $state.File -Algorithm SHA256).Hash.ToLowerInvariant()
    Remove-State $state
    if ($ours -ne $theirs) {
        Say "$($state.Name): what arrived has SHA-256 $theirs, the file has ${ours}: it changed while it was sent. Send it again."
        return $false
    }
    Say "$($state.Name): has arrived, and its SHA-256 is that of the file"
    return $true
}

# The receipt's text when the file has arrived, or nothing.
function Send-One([string] $given) {
    if (Test-Path -LiteralPath $given -PathType Container) {
        Say "${given}: is a folder. Pack it first: Compress-Archive FOLDER NAME.zip"
        return ''
    }
    if (-not (Test-Path -LiteralPath $given -PathType Leaf)) {
        Say "${given}: there is no such file"
        return ''
    }
    $file = (Resolve-Path -LiteralPath $given).ProviderPath
    $stamp = Get-Stamp $file
    $state = @{
        File = $file; Name = [IO.Path]::GetFileName($file); Stamp = $stamp; Size = [long] ($stamp -split ' ')[0]
        Id = ''; Offset = [long] -1; Furthest = [long] 0; Pause = 1; Waited = 0
    }
    Restore-State $state
    $begun = 0
    while ($true) {
        if ($state.Id -eq '') {
            $begun += 1
            if ($begun -gt 3) { return '' }
            $state.Id = New-Upload $state
            if ($state.Id -eq '') { return '' }
            $state.Offset = [long] 0
            $state.Furthest = [long] 0
            Save-State $state
        }
        $answer = Send-Rest $state
        if ($answer.Verdict -eq 'ok' -and $answer.Status -eq 201) {
            if (Test-Receipt $state $answer) { return $answer.Text }
            return ''
        }
        if ((Get-Stamp $file) -ne $stamp) {
            Say "$($state.Name): not sent: it changes while it is being sent. Copy it, and send the copy."
            Stop-Upload $state.Id
            Remove-State $state
            return ''
        }
        if ($answer.Verdict -eq 'gone') {
            Say "$($state.Name): the upload no longer exists; starting over"
            Remove-State $state
        } elseif ($answer.Verdict -eq 'refused') {
            Say "$($state.Name): not sent: $($answer.Why)"
            return ''
        } elseif (-not (Wait-For-Better $state $answer)) {
            return ''
        }
    }
}

function Send-All {
    if ($null -eq $Files -or $Files.Count -eq 0) {
        Say 'usage: send.ps1 [-Ticket NUMBER] FILE...'
        return 2
    }
    if ($Ticket -notmatch '^[0-9]*$') {
        Say 'the ticket is a number: -Ticket 123456'
        return 2
    }
    if ($link.EndsWith('/u/-/')) {
        if (-not $env:WEIGHBRIDGE_LINK_TOKEN) {
            Say 'set the environment variable WEIGHBRIDGE_LINK_TOKEN to the token of your upload link'
            return 2
        }
        $headers['Authorization'] = "Bearer $($env:WEIGHBRIDGE_LINK_TOKEN)"
    }
    $failed = 0
    foreach ($given in $Files) {
        $receipt = Send-One $given
        if ($receipt -eq '') { $failed += 1 } else { [Console]::Out.Write($receipt) }
    }
    if ($failed -gt 0) {
        if ($Files.Count -gt 1) { Say "$failed of $($Files.Count) files have not arrived" }
        return 1
    }
    return 0
}

# One line, at the end: half a script, as a broken download leaves it, does nothing.
exit (Send-All)
