<?php

declare(strict_types=1);

namespace App\Http\Controllers;

use App\Http\Request;

/** Takes what happened to an agent's account. */
final class TelegramWebhookController
{
    public function store(Request $request, int $agent): int
    {
        if ($this->isNew($request->header('webhook-id'))) {
            $event = json_decode($request->content, true, flags: JSON_THROW_ON_ERROR);
            // Here your own work begins. In Laravel: dispatch(new HandleTelegramEvent($agent, $event));
            $about = isset($event['message']) ? "message {$event['message']['id']}" : ($event['reason'] ?? '');
            file_put_contents('php://stderr', "agent $agent: {$event['event']} $about\n");
        }
        return 204;
    }

    /**
     * Deliveries come at least once: a known id was acted on already. In Laravel: Cache::add($id, true, 86400).
     * Here a file each in the system's temporary folder marks them.
     */
    private function isNew(string $id): bool
    {
        $mark = sys_get_temp_dir() . '/trunkline-' . hash('sha256', $id);
        $made = @fopen($mark, 'x');
        return $made !== false && fclose($made);
    }
}
