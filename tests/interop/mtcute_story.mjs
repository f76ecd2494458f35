// mtcute against the sandbox: a client of an older layer (227), strict about records it does not know, with containers,
// packed calls, several connections for files, and (said with the word "temporary") temporary keys.
//
// Takes the URL of a sandbox's control port; the sandbox's world is the example one, in which both have accounts. Prints
// a line a chapter; exit code 0 only if every chapter held and mtcute warned of nothing.

import { randomBytes } from 'node:crypto'
import { deflateSync } from 'node:zlib'
import process from 'node:process'

import { InputMedia, MemoryStorage, TelegramClient, md } from '@mtcute/node'
import { addPublicKey, LogManager, NodeCryptoProvider } from '@mtcute/node/utils.js'

const PATIENCE = 30_000
const ALICE = '+999661000001'
const BOB = '+999662000002'
const CAROL = '+999663000003'
const WARNING = LogManager.WARN

// When it starts it pings twice and then knows of one answer only. And one new key in 256 begins with a nought, over
// which it takes the sum without that: it then makes another key.
const EXCUSED = ['received pong to unknown ping', 'invalid nonce hash from server']

const expect = (condition, what) => {
    if (!condition) throw new Error(what)
}

/** The control port of a sandbox. */
class Sandbox {
    constructor(url) {
        this.url = url.replace(/\/$/, '')
    }

    async ask(method, path, body) {
        const headers = { 'Content-Type': 'application/json' }
        const answer = await fetch(this.url + path, { method, headers, body: body && JSON.stringify(body) })
        const text = await answer.text()
        expect(answer.ok, `${method} ${path}: ${answer.status} ${text}`)
        return text
    }

    async open() {
        const config = await this.ask('GET', '/config')
        const [, host, port] = /^address = "(.*):(\d+)"$/m.exec(config)
        this.centres = [...config.matchAll(/^id = (\d+)$/gm)].map(([, id]) => Number(id))
        this.key = /rsa_public_key = """\n(.*?)\n"""/s.exec(config)[1]
        this.dc = { id: Number(/^id = (\d+)$/m.exec(config)[1]), ipAddress: host, port: Number(port) }
        return this
    }

    /** How often anybody called a method. */
    async calls(method) {
        const { counts } = JSON.parse(await this.ask('GET', '/requests?limit=1'))
        return Object.values(counts[method] ?? {}).reduce((sum, it) => sum + it, 0)
    }

    async code(phone) {
        return (await this.ask('GET', `/codes/${phone.slice(1)}`)).trim()
    }
}

/** The sum that PNG wants. */
function crc32(data) {
    let sum = ~0
    for (const byte of data) {
        sum ^= byte
        for (let bit = 0; bit < 8; bit++) sum = (sum >>> 1) ^ (sum & 1 ? 0xedb88320 : 0)
    }
    return ~sum >>> 0
}

/** A small PNG that is different for every shade. */
function picture(width, height, shade) {
    const number = (it) => Buffer.from([it >>> 24, it >>> 16, it >>> 8, it])
    const chunk = (name, data) => {
        const named = Buffer.concat([Buffer.from(name), data])
        return Buffer.concat([number(data.length), named, number(crc32(named))])
    }
    const row = Buffer.concat([Buffer.alloc(1), ...Array.from({ length: width }, (_, x) => Buffer.from([shade, x, x]))])
    return Buffer.concat([
        Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'),
        chunk('IHDR', Buffer.concat([number(width), number(height), Buffer.from([8, 2, 0, 0, 0])])),
        chunk('IDAT', deflateSync(Buffer.concat(Array(height).fill(row)))),
        chunk('IEND', Buffer.alloc(0)),
    ])
}

/** Whether a picture is that one as Telegram makes it anew: of other bytes, and with the same in it. */
function madeAnew(found, data) {
    const rest = data.subarray(33)
    return !found.equals(data) && found.subarray(0, 33).equals(data.subarray(0, 33)) && found.subarray(-rest.length).equals(rest)
}

/** All that a client is told, kept until somebody asks for it. */
class Ear {
    constructor(client) {
        this.heard = []
        this.waiting = new Set()
        for (const kind of ['onNewMessage', 'onEditMessage', 'onDeleteMessage', 'onPollUpdate']) {
            client[kind].add((event) => {
                this.heard.push([kind, event])
                this.waiting.forEach((look) => look())
            })
        }
        client.onRawUpdate.add(({ update }) => {
            this.heard.push([update._, update])
            this.waiting.forEach((look) => look())
        })
    }

    /** The first of that kind for which `known` is true; it is taken out. */
    wait(name, known, what) {
        return new Promise((found, lost) => {
            const look = () => {
                const at = this.heard.findIndex(([kind, event]) => kind === name && known(event))
                if (at < 0) return false
                clearTimeout(patience)
                this.waiting.delete(look)
                found(this.heard.splice(at, 1)[0][1])
                return true
            }
            const patience = setTimeout(() => {
                this.waiting.delete(look)
                lost(new Error(`no such ${name} (${what}); heard ${this.heard.map(([kind]) => kind)}`))
            }, PATIENCE)
            if (!look()) this.waiting.add(look)
        })
    }

    text(text) {
        return this.wait('onNewMessage', (it) => it.text === text, text)
    }
}

class Story {
    constructor(sandbox, usePfs) {
        this.sandbox = sandbox
        this.usePfs = usePfs
        this.complaints = []
        this.excused = []
        this.tooLong = []
        this.storages = { [ALICE]: new MemoryStorage(), [BOB]: new MemoryStorage() }
    }

    async client(phone) {
        const crypto = new NodeCryptoProvider()
        await crypto.initialize()
        addPublicKey(crypto, this.sandbox.key)
        const client = new TelegramClient({
            apiId: 1,
            apiHash: 'any',
            storage: this.storages[phone],
            crypto,
            defaultDcs: { main: this.sandbox.dc, media: this.sandbox.dc },
            network: { usePfs: this.usePfs },
            updates: { catchUp: true, onChannelTooLong: (id) => this.tooLong.push(id) },
            logLevel: process.env.STORY_DEBUG ? LogManager.VERBOSE : WARNING,
        })
        const show = client.log.mgr.handler
        client.log.mgr.handler = (color, level, tag, text, args) => {
            const said = `${tag}: ${text} ${args}`
            if (level <= WARNING && ![...EXCUSED, ...this.excused].some((it) => said.includes(it))) this.complaints.push(said)
            if (level <= WARNING || process.env.STORY_DEBUG) show(color, level, tag, text, args)
        }
        return [client, new Ear(client)]
    }

    async enter(phone) {
        const [client, ear] = await this.client(phone)
        const { phoneCodeHash } = await client.sendCode({ phone })
        const phoneCode = await this.sandbox.code(phone)
        const wrong = phoneCode === '00000' ? '11111' : '00000'
        const refused = await client.signIn({ phone, phoneCodeHash, phoneCode: wrong }).catch((error) => error)
        expect(refused.text === 'PHONE_CODE_INVALID', `a wrong code was answered with ${refused}`)
        await client.signIn({ phone, phoneCodeHash, phoneCode })
        await client.startUpdatesLoop()
        return [client, ear]
    }

    async login() {
        ;[this.alice, this.aliceEar] = await this.enter(ALICE)
        ;[this.bob, this.bobEar] = await this.enter(BOB)
        this.aliceId = (await this.alice.getMe()).id
        this.bobId = (await this.bob.getMe()).id
        for (const [client, phone] of [[this.alice, BOB], [this.bob, ALICE]]) {
            const found = await client.importContacts([{ phone, firstName: 'Friend', lastName: '' }])
            expect(found.users.length === 1, 'the other is found by phone number')
        }
    }

    async text() {
        const sent = await this.alice.sendText(this.bobId, md`Hello **Bob** 👩‍👩‍👧 and ${'`code`'}`)
        const heard = await this.bobEar.wait('onNewMessage', (it) => it.text.startsWith('Hello'), 'greeting')
        expect(heard.text === sent.text && heard.sender.id === this.aliceId, 'the text arrived as it was sent')
        expect(heard.entities.some((it) => it.kind === 'bold'), 'with its formatting')
        await this.alice.editMessage({ chatId: this.bobId, message: sent.id, text: 'Goodbye' })
        await this.bobEar.wait('onEditMessage', (it) => it.text === 'Goodbye' && it.id === heard.id, 'edit')
        const answer = await this.bob.replyText(heard, 'an answer')
        const answered = await this.aliceEar.text('an answer')
        expect(answered.replyToMessage.id === sent.id, "replies count in each one's own numbers")
        await this.bob.deleteMessagesById(this.aliceId, [answer.id])
        await this.aliceEar.wait('onDeleteMessage', (it) => it.messageIds.includes(answered.id), 'deletion')
        // Long enough to be packed.
        const long = 'All work and no play. '.repeat(100).trim()
        await this.alice.sendText(this.bobId, long)
        await this.bobEar.text(long)
        // Its page is pending at first, and comes as an update of its own.
        const link = 'see https://example.org/page'
        const linked = await this.alice.sendText(this.bobId, link)
        expect(linked.text === link, 'a text with a link is sent')
        await this.bobEar.text(link)
    }

    async album() {
        const shades = [10, 90, 170]
        const photos = shades.map((it) =>
            InputMedia.photo(picture(32, 32, it), { fileName: `${it}.png`, caption: String(it) }),
        )
        const sent = await this.alice.sendMediaGroup(this.bobId, photos)
        expect(sent.length === 3 && new Set(sent.map((it) => String(it.groupedId))).size === 1, 'one album')
        for (const shade of shades) {
            const heard = await this.bobEar.text(String(shade))
            const data = Buffer.from(await this.bob.downloadAsBuffer(heard.media))
            expect(madeAnew(data, picture(32, 32, shade)), 'each picture')
        }
    }

    async document() {
        // More than 10 MiB go up by another method, several parts at a time.
        for (const size of [70_000, 11 * 1024 * 1024 + 4321]) {
            const data = randomBytes(size)
            await this.alice.sendMedia(this.bobId, InputMedia.document(data, { fileName: 'random.bin' }))
            const heard = await this.bobEar.wait('onNewMessage', (it) => it.media?.fileSize === size, `${size} bytes`)
            expect(heard.media.fileName === 'random.bin', 'its name')
            const found = Buffer.from(await this.bob.downloadAsBuffer(heard.media))
            expect(found.equals(data), `${size} bytes, byte for byte`)
            const middle = await this.bob.downloadChunk({ location: heard.media, offset: 12_345, limit: 10_000 })
            expect(data.subarray(12_345, 22_345).equals(middle), 'a piece out of its middle')
        }
    }

    async group() {
        const made = await this.bob.createSupergroup({ title: 'Workshop' })
        await this.bob.addChatMembers(made.id, this.aliceId, {})
        const asked = await this.bob.sendText(made.id, 'Who is here?')
        const heard = await this.aliceEar.text('Who is here?')
        expect(heard.id === asked.id && heard.chat.id === made.id, 'one number for all')
        await this.alice.sendText(made.id, 'I am')
        await this.bobEar.text('I am')
        this.workshop = made.id
    }

    async reactions() {
        const sent = await this.bob.sendText(this.workshop, 'Do you like it?')
        await this.aliceEar.text('Do you like it?')
        await this.alice.sendReaction({ chatId: this.workshop, message: sent.id, emoji: '👍' })
        const told = await this.bobEar.wait('updateMessageReactions', (it) => it.msgId === sent.id, 'reaction')
        expect(told.reactions.results[0].reaction.emoticon === '👍', 'its author hears which')
        const [found] = await this.alice.getMessages(this.workshop, [sent.id])
        expect(found.reactions.reactions[0].count === 1 && found.reactions.reactions[0].order === 1, 'it is on the message')
        expect(found.hideEditMark, 'an edit that does not show')
        const users = await this.bob.getReactionUsers({ chatId: this.workshop, message: sent.id })
        expect(users.length === 1 && users[0].peer.id === this.aliceId, 'and whose it is')
        await this.alice.sendReaction({ chatId: this.workshop, message: sent.id, emoji: null })
        await this.bobEar.wait(
            'updateMessageReactions',
            (it) => it.msgId === sent.id && it.reactions.results.length === 0,
            'taken back',
        )
    }

    async pins() {
        const sent = await this.bob.sendText(this.aliceId, 'Keep this')
        const heard = await this.aliceEar.text('Keep this')
        await this.bob.pinMessage({ chatId: this.aliceId, message: sent.id, bothSides: true, notify: true })
        const told = await this.aliceEar.wait('updatePinnedMessages', (it) => it.messages.includes(heard.id), 'pin')
        expect(told.pinned, 'for both sides, each in its own numbers')
        const [pinned] = await this.alice.getMessages(this.bobId, [heard.id])
        expect(pinned.isPinned, 'the message says so')
        await this.bob.unpinAllMessages(this.aliceId)
        await this.aliceEar.wait('updatePinnedMessages', (it) => !it.pinned, 'unpinned')
    }

    async polls() {
        const media = InputMedia.poll({ question: 'Tea?', answers: ['yes', 'no'], public: true })
        const asked = await this.bob.sendMedia(this.workshop, media)
        const heard = await this.aliceEar.wait('onNewMessage', (it) => it.media?.type === 'poll', 'poll')
        expect(heard.media.question === 'Tea?' && heard.media.answers.length === 2, 'what is asked')
        const voted = await this.alice.sendVote({ chatId: this.workshop, message: heard.id, options: 0 })
        expect(voted.answers[0].chosen && voted.answers[0].voters === 1, 'how it stands, after one has voted')
        const update = await this.bobEar.wait('onPollUpdate', (it) => it.poll.voters === 1, 'vote')
        expect(!update.poll.isClosed && update.poll.isCreator, 'its author hears of it')
        const closed = await this.bob.closePoll({ chatId: this.workshop, message: asked.id })
        expect(closed.isClosed && closed.answers[0].voters === 1, 'in the end all see how it stands')
        await this.aliceEar.wait('onPollUpdate', (it) => it.poll.isClosed, 'end')
    }

    /** Bob's program ends, things happen, and it is started again. */
    async absence() {
        await this.bob.destroy()
        const kept = await this.alice.sendText(this.bobId, 'to be changed')
        const gone = await this.alice.sendText(this.bobId, 'never read')
        await this.alice.editMessage({ chatId: this.bobId, message: kept.id, text: 'changed while away' })
        await this.alice.deleteMessagesById(this.bobId, [gone.id])
        await this.alice.sendText(this.workshop, 'where is Bob?')
        ;[this.bob, this.bobEar] = await this.client(BOB)
        await this.bob.connect()
        await this.bob.startUpdatesLoop()
        await this.bobEar.text('changed while away')
        await this.bobEar.text('where is Bob?')
        await this.alice.sendText(this.bobId, 'live again')
        await this.bobEar.text('live again')
        const texts = this.bobEar.heard.filter(([kind]) => kind === 'onNewMessage').map(([, it]) => it.text)
        expect(texts.length === 0, `nothing twice, nothing that was deleted: ${texts}`)
    }

    /** Pushes are lost, doubled, swapped; then Bob is told that his state is worth nothing. */
    async gaps() {
        for (const kind of ['gap', 'duplicate', 'reorder']) {
            for (const [chat, name] of [[this.bobId, 'private'], [this.workshop, 'group']]) {
                await this.sandbox.ask('POST', '/faults', { kind, account: this.bobId })
                for (const n of [1, 2, 3]) await this.alice.sendText(chat, `${kind} ${name} ${n}`)
                for (const n of [1, 2, 3]) await this.bobEar.text(`${kind} ${name} ${n}`)
            }
        }
        await this.sandbox.ask('POST', '/faults', { kind: 'gap', account: this.bobId, times: 2 })
        await this.alice.sendText(this.bobId, 'unheard')
        await this.alice.sendText(this.workshop, 'unheard in the group')
        await this.sandbox.ask('POST', '/faults', { kind: 'push_too_long', account: this.bobId })
        await this.bobEar.text('unheard')
        await this.bobEar.text('unheard in the group')
        const texts = this.bobEar.heard.filter(([kind]) => kind === 'onNewMessage').map(([, it]) => it.text)
        expect(texts.length === 0, `nothing twice: ${texts}`)
    }

    /** Bob missed so much that he is not told of it one by one: he takes the state as it is, and hears what comes. */
    async excess() {
        for (const [chat, method, more] of [
            [this.bobId, 'updates.getDifference', {}],
            [this.workshop, 'updates.getChannelDifference', { chat: this.workshop }],
        ]) {
            await this.sandbox.ask('POST', '/faults', { kind: 'gap', account: this.bobId })
            await this.alice.sendText(chat, 'skipped')
            await this.sandbox.ask('POST', '/faults', { kind: 'too_long', account: this.bobId, method })
            const asked = await this.sandbox.calls(method)
            await this.sandbox.ask('POST', '/faults', { kind: 'push_too_long', account: this.bobId, ...more })
            const deadline = Date.now() + PATIENCE
            while ((await this.sandbox.calls(method)) === asked) {
                expect(Date.now() < deadline, 'Bob asks what he missed')
                await new Promise((again) => setTimeout(again, 50))
            }
            await this.alice.sendText(chat, `after ${method}`)
            await this.bobEar.text(`after ${method}`)
            const skipped = this.bobEar.heard.some(([kind, it]) => kind === 'onNewMessage' && it.text === 'skipped')
            expect(!skipped, 'what was too much is not told')
        }
        expect(this.tooLong.length === 1, 'he knows that he missed something in the group')
    }

    /** Carol comes in by QR code and password (a wrong one first), wherever she lives. */
    async doors() {
        const door = `/users/${CAROL}`
        await this.sandbox.ask('PUT', `${door}/password`, { password: 'گذرواژه 🔑', hint: 'the usual' })
        for (const dc of this.sandbox.centres) {
            await this.sandbox.ask('PUT', `${door}/home`, { dc })
            this.storages[CAROL] = new MemoryStorage()
            const [carol] = await this.client(CAROL)
            const [tried, scanned] = [[], []]
            const me = await carol.signInQr({
                onUrlUpdated: (token) => scanned.push(this.sandbox.ask('POST', `${door}/logins`, { token })),
                password: () => tried[tried.push(tried.length ? 'گذرواژه 🔑' : 'wrong') - 1],
                invalidPasswordCallback: () => expect(tried.length === 1, 'the right password was refused'),
            })
            await Promise.all(scanned)
            expect(me.phoneNumber === CAROL.slice(1) && tried.length === 2, 'the password was asked for until it was right')
            // What she sends lies where she lives; who lives elsewhere fetches it there.
            const data = randomBytes(100_000)
            await carol.sendMedia('alice', InputMedia.document(data, { fileName: `from ${dc}.bin` }))
            const heard = await this.aliceEar.wait('onNewMessage', (it) => it.media?.fileName === `from ${dc}.bin`, 'file')
            expect(heard.media.dcId === dc, `it lies in data centre ${heard.media.dcId}`)
            // Under temporary keys its download waits for ever for the first key of another centre that it makes itself.
            if (!this.usePfs || dc === this.sandbox.dc.id) {
                const found = Buffer.from(await this.alice.downloadAsBuffer(heard.media))
                expect(found.equals(data), 'byte for byte')
            }
            const { items } = JSON.parse(await this.sandbox.ask('GET', `${door}/logins`))
            expect(items.length === 1 && items[0].dc === dc, `one login, in data centre ${dc}`)
            // Its updates may be under way still when it ends.
            this.excused = ['Session is reset']
            await carol.logOut()
            await carol.destroy()
            this.excused = []
        }
    }

    async farewell() {
        await this.bob.destroy()
        await this.alice.logOut()
        await this.alice.destroy()
    }

    async tell() {
        const chapters = ['login', 'text', 'album', 'document', 'group', 'reactions', 'pins', 'polls', 'absence', 'gaps']
        for (const chapter of [...chapters, 'excess', 'doors', 'farewell']) {
            const began = Date.now()
            await this[chapter]()
            console.log(`${chapter}: held (${((Date.now() - began) / 1000).toFixed(2)} s)`)
        }
    }
}

const [url, ...words] = process.argv.slice(2)
const story = new Story(await new Sandbox(url).open(), words.includes('temporary'))
await story.tell()
if (story.complaints.length > 0) {
    console.error(['mtcute complained:', ...story.complaints].join('\n  '))
    process.exit(1)
}
process.exit(0)
