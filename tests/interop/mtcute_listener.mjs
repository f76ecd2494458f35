// mtcute as one more login of an account: it prints what it hears of messages, a JSON object a line.
//
// Takes host and port of a sandbox's server, a file with its public key, a telephone number and its login code. Says
// {"ready": true} once it listens, and ends with its standard input.

import { readFileSync } from 'node:fs'
import process from 'node:process'

import { MemoryStorage, TelegramClient } from '@mtcute/node'
import { addPublicKey, LogManager, NodeCryptoProvider } from '@mtcute/node/utils.js'

const [host, port, keyFile, phone, phoneCode] = process.argv.slice(2)
const say = (line) => process.stdout.write(JSON.stringify(line) + '\n')

const crypto = new NodeCryptoProvider()
await crypto.initialize()
addPublicKey(crypto, readFileSync(keyFile, 'utf8'))
const dc = { id: 2, ipAddress: host, port: Number(port) }
const client = new TelegramClient({
    apiId: 1,
    apiHash: 'any',
    storage: new MemoryStorage(),
    crypto,
    defaultDcs: { main: dc, media: dc },
    updates: { catchUp: true },
    logLevel: LogManager.ERROR,
})
// Standard output is for what it hears.
client.log.mgr.handler = (color, level, tag, text, args) => console.error(tag, text, ...args)
client.onNewMessage.add((it) => say({ kind: 'new', chat: Number(it.chat.id), id: it.id, text: it.text }))
client.onEditMessage.add((it) => say({ kind: 'edit', chat: Number(it.chat.id), id: it.id, text: it.text }))
client.onDeleteMessage.add((it) => say({ kind: 'delete', channel: it.channelId, ids: it.messageIds }))

const { phoneCodeHash } = await client.sendCode({ phone })
await client.signIn({ phone, phoneCodeHash, phoneCode })
await client.startUpdatesLoop()
say({ ready: true })
process.stdin.resume()
process.stdin.on('end', () => process.exit(0))
